/* A z-buffer: writes, for every pixel, the nearest triangle and its interpolated attributes. */
#include <math.h>

static int least(float a, float b, float c) { return (int)floorf(fminf(a, fminf(b, c))); }
static int most(float a, float b, float c) { return (int)ceilf(fmaxf(a, fmaxf(b, c))); }
static int clip(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

/* triangles: (count, 3) vertices. points: (vertices, 3) x, y in pixels and depth, larger is nearer.
 * two_sided: (count) whether a triangle is seen from behind, too. depth, nearest: (height, width), filled by the caller
 * with a far depth and -1. attributes: (vertices, wide). out: (height, width, wide). */
void raster(int count, const int *triangles, const float *points, const unsigned char *two_sided, int width, int height,
            float *depth, int *nearest, int wide, const float *attributes, float *out) {
  for (int t = 0; t < count; t++) {
    const int *corner = triangles + 3 * t;
    const float *a = points + 3 * corner[0], *b = points + 3 * corner[1], *c = points + 3 * corner[2];
    float ax = b[0] - a[0], ay = b[1] - a[1], bx = c[0] - a[0], by = c[1] - a[1], area = ax * by - ay * bx;
    if (fabsf(area) < 1e-9f || (area > 0 && !two_sided[t])) continue;
    int x0 = clip(least(a[0], b[0], c[0]), 0, width), x1 = clip(most(a[0], b[0], c[0]), -1, width - 1);
    int y0 = clip(least(a[1], b[1], c[1]), 0, height), y1 = clip(most(a[1], b[1], c[1]), -1, height - 1);
    for (int y = y0; y <= y1; y++) {
      for (int x = x0; x <= x1; x++) {
        float dx = x - a[0], dy = y - a[1];
        float u = (dx * by - dy * bx) / area, w = (ax * dy - ay * dx) / area;
        if (u < -1e-3f || w < -1e-3f || u + w > 1.001f) continue;
        float z = (1 - u - w) * a[2] + u * b[2] + w * c[2];
        long at = (long)y * width + x;
        if (z <= depth[at]) continue;
        depth[at] = z;
        nearest[at] = t;
        const float *first = attributes + (long)corner[0] * wide, *second = attributes + (long)corner[1] * wide;
        const float *third = attributes + (long)corner[2] * wide;
        for (int k = 0; k < wide; k++) out[at * wide + k] = (1 - u - w) * first[k] + u * second[k] + w * third[k];
      }
    }
  }
}
