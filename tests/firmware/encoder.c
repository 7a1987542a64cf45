/* Reads samples (or, with an argument, blocks of bytes) from stdin, and writes what emer_tracker.h makes of them. */
#include <stdio.h>

#include "emer_tracker.h"

static int whole(void *to, size_t size) { return fread(to, 1, size, stdin) == size; }

static int samples(void)
{
    emer_encoder encoder;
    emer_sample sample;
    uint8_t out[EMER_MAX_WIRE];
    emer_init(&encoder);
    while (whole(&encoder.wide_time, 1) && whole(&encoder.sequence, 2) && whole(&sample.time_us, 8) &&
           whole(&sample.mask, 4) && whole(sample.gaze, sizeof(sample.gaze)) &&
           whole(sample.position_mm, sizeof(sample.position_mm)) && whole(sample.pupil_mm, sizeof(sample.pupil_mm)) &&
           whole(sample.direction, sizeof(sample.direction)) && whole(&sample.validity, 1)) {
        const uint16_t before = encoder.sequence;
        const size_t size = emer_encode(&encoder, &sample, out);
        const uint8_t length = (uint8_t)size;
        if (size > sizeof(out) || encoder.sequence != (uint16_t)(before + (size > 0U))) {
            return 1;
        }
        (void)fwrite(&length, 1, 1, stdout);
        (void)fwrite(out, 1, size, stdout);
    }
    return 0;
}

static int blocks(void)
{
    static uint8_t data[2000];
    static uint8_t out[EMER_COBS_SIZE(sizeof(data))];
    uint16_t size;
    while (whole(&size, 2) && size <= sizeof(data) && whole(data, size)) {
        const uint16_t made = (uint16_t)emer_cobs(data, size, out);
        const uint16_t crc = emer_crc16(data, size);
        (void)fwrite(&made, 2, 1, stdout);
        (void)fwrite(&crc, 2, 1, stdout);
        (void)fwrite(out, 1, made, stdout);
    }
    return 0;
}

int main(int count, char **arguments)
{
    (void)arguments;
    return (count > 1) ? blocks() : samples();
}
