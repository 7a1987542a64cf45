/*
 * emer_tracker.h - the device's side of the emer wire format (see ../emer-wire-format.md).
 *
 * C99 (and C++11), one header, no allocation, no libraries but memcpy, no floating-point arithmetic: floats are only
 * copied, and have to be IEEE 754 binary32. Bytes are put in order by shifts, so that any byte order of the target
 * will do. Every function is reentrant; the stack holds less than 200 bytes.
 *
 * A packet, little endian, without padding:
 *
 *     u8   version, 1
 *     u8   flags; bit 0: the time is a u64, else a u32
 *     u16  sequence number: one more for each sample, 65535 is followed by 0
 *     u32  mask: which fields follow
 *     u64  or u32: the tracker's clock in microseconds when the sample was taken
 *     ...  the fields of the mask, in the order of their bits
 *     u16  CRC-16/CCITT-FALSE of every byte before it
 *
 * It is COBS encoded, so that no byte of it is 0, and a 0 ends it.
 *
 * Use: fill an emer_sample, call emer_encode(), send the bytes it has made. Count a sample that could not be sent all
 * the same, with emer_skip(): the reader then knows that one is missing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef EMER_TRACKER_H
#define EMER_TRACKER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMER_VERSION (1U)

/* Bits of the mask. Send the same mask all the time, and NaN in blinks. */
#define EMER_GAZE_LEFT       ((uint32_t)0x001U) /* 2 x f32: fraction of the display, origin top left, y down */
#define EMER_GAZE_RIGHT      ((uint32_t)0x002U)
#define EMER_POSITION_LEFT   ((uint32_t)0x004U) /* 3 x f32: mm from the display's top left corner, x right, y down, */
#define EMER_POSITION_RIGHT  ((uint32_t)0x008U) /*          z towards the viewer */
#define EMER_PUPIL_LEFT      ((uint32_t)0x010U) /* f32: diameter, mm */
#define EMER_PUPIL_RIGHT     ((uint32_t)0x020U)
#define EMER_DIRECTION_LEFT  ((uint32_t)0x040U) /* 3 x f32: unit vector, axes as of the position */
#define EMER_DIRECTION_RIGHT ((uint32_t)0x080U)
#define EMER_VALIDITY        ((uint32_t)0x100U) /* u8: EMER_VALID_LEFT, EMER_VALID_RIGHT */
#define EMER_ALL             ((uint32_t)0x1FFU)

/* Bits of the validity. Without that field an eye is valid where its gaze is finite. */
#define EMER_VALID_LEFT  ((uint8_t)0x01U)
#define EMER_VALID_RIGHT ((uint8_t)0x02U)

/* Places in the arrays of a sample. */
#define EMER_LEFT  (0U)
#define EMER_RIGHT (1U)

#define EMER_MAX_PACKET (91U)                    /* all fields, u64 clock, CRC */
#define EMER_MAX_WIRE   (EMER_MAX_PACKET + 2U)   /* what COBS adds, and the ending 0 */

/* Bytes that COBS makes of n, at most; the ending 0 not counted. */
#define EMER_COBS_SIZE(n) ((n) + ((n) / 254U) + 1U)

/* One sample. Only the fields of the mask are read; NaN (emer_missing()) means missing. */
typedef struct {
    uint64_t time_us;        /* may start anywhere and may restart; must not step while it runs */
    uint32_t mask;
    float gaze[2][2];        /* [eye][x, y] */
    float position_mm[2][3]; /* [eye][x, y, z] */
    float pupil_mm[2];       /* [eye] */
    float direction[2][3];   /* [eye][x, y, z] */
    uint8_t validity;
} emer_sample;

/* What an encoder remembers from sample to sample. */
typedef struct {
    uint16_t sequence;   /* number of the next sample */
    uint8_t wide_time;   /* 1: the clock is sent as u64, 0: as u32, which may wrap (every 71.6 minutes) */
} emer_encoder;

/* A float must be binary32: this line does not compile where its size is another. */
typedef char emer_float_has_four_bytes[(sizeof(float) == 4U) ? 1 : -1];

/* Starts at sequence number 0, with a u64 clock. */
static inline void emer_init(emer_encoder *encoder)
{
    encoder->sequence = 0U;
    encoder->wide_time = 1U;
}

/* Passes over the number of a sample that is not sent. */
static inline void emer_skip(emer_encoder *encoder)
{
    encoder->sequence = (uint16_t)((encoder->sequence + 1U) & 0xFFFFU);
}

/* The number that means missing: a quiet NaN. */
static inline float emer_missing(void)
{
    const uint32_t bits = 0x7FC00000U;
    float number;
    (void)memcpy(&number, &bits, sizeof(number));
    return number;
}

/* CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected, no final xor; of "123456789" it is 0x29B1. */
static inline uint16_t emer_crc16(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xFFFFU;
    size_t at;
    for (at = 0U; at < size; ++at) {
        uint8_t bit;
        crc ^= (uint32_t)data[at] << 8;
        for (bit = 0U; bit < 8U; ++bit) {
            crc = ((crc & 0x8000U) != 0U) ? ((crc << 1) ^ 0x1021U) : (crc << 1);
        }
        crc &= 0xFFFFU;
    }
    return (uint16_t)crc;
}

/*
 * Consistent overhead byte stuffing (Cheshire and Baker, 1999), without the 0 that ends a packet. `out` needs
 * EMER_COBS_SIZE(size) bytes and must not overlap `data`. Returns how many were written.
 */
static inline size_t emer_cobs(const uint8_t *data, size_t size, uint8_t *out)
{
    size_t code = 0U;    /* where the length of the present block goes */
    size_t length = 1U;  /* bytes written */
    size_t at;
    for (at = 0U; at < size; ++at) {
        if (data[at] != 0U) {
            out[length] = data[at];
            ++length;
        }
        if ((data[at] == 0U) || (((length - code) == 255U) && ((at + 1U) < size))) {
            out[code] = (uint8_t)(length - code);  /* at a 0, or after 254 bytes without one */
            code = length;
            ++length;
        }
    }
    out[code] = (uint8_t)(length - code);
    return length;
}

/* Puts the `size` lowest bytes of a number, lowest first; returns the place behind them. */
static inline size_t emer_put(uint8_t *packet, size_t place, uint64_t number, size_t size)
{
    size_t at;
    for (at = 0U; at < size; ++at) {
        packet[place + at] = (uint8_t)((number >> (8U * at)) & 0xFFU);
    }
    return place + size;
}

/* Puts `count` floats; returns the place behind them. */
static inline size_t emer_put_floats(uint8_t *packet, size_t place, const float *numbers, size_t count)
{
    size_t at;
    size_t end = place;
    for (at = 0U; at < count; ++at) {
        uint32_t bits;
        (void)memcpy(&bits, &numbers[at], sizeof(bits));
        end = emer_put(packet, end, bits, 4U);
    }
    return end;
}

/*
 * Encodes one sample and goes on to the next sequence number.
 *
 * `out` needs EMER_MAX_WIRE bytes. Returns how many of them are to be sent, the ending 0 included; 0, and nothing is
 * changed, where the mask has bits that this header does not know.
 */
static inline size_t emer_encode(emer_encoder *encoder, const emer_sample *sample, uint8_t *out)
{
    uint8_t packet[EMER_MAX_PACKET];
    size_t end = 0U;
    size_t length = 0U;
    size_t eye;

    if ((sample->mask & (uint32_t)(~EMER_ALL)) == 0U) {
        end = emer_put(packet, end, EMER_VERSION, 1U);
        end = emer_put(packet, end, (encoder->wide_time != 0U) ? 1U : 0U, 1U);
        end = emer_put(packet, end, encoder->sequence, 2U);
        end = emer_put(packet, end, sample->mask, 4U);
        end = emer_put(packet, end, sample->time_us, (encoder->wide_time != 0U) ? 8U : 4U);
        for (eye = EMER_LEFT; eye <= EMER_RIGHT; ++eye) {
            if ((sample->mask & (EMER_GAZE_LEFT << eye)) != 0U) {
                end = emer_put_floats(packet, end, sample->gaze[eye], 2U);
            }
        }
        for (eye = EMER_LEFT; eye <= EMER_RIGHT; ++eye) {
            if ((sample->mask & (EMER_POSITION_LEFT << eye)) != 0U) {
                end = emer_put_floats(packet, end, sample->position_mm[eye], 3U);
            }
        }
        for (eye = EMER_LEFT; eye <= EMER_RIGHT; ++eye) {
            if ((sample->mask & (EMER_PUPIL_LEFT << eye)) != 0U) {
                end = emer_put_floats(packet, end, &sample->pupil_mm[eye], 1U);
            }
        }
        for (eye = EMER_LEFT; eye <= EMER_RIGHT; ++eye) {
            if ((sample->mask & (EMER_DIRECTION_LEFT << eye)) != 0U) {
                end = emer_put_floats(packet, end, sample->direction[eye], 3U);
            }
        }
        if ((sample->mask & EMER_VALIDITY) != 0U) {
            end = emer_put(packet, end, sample->validity, 1U);
        }
        end = emer_put(packet, end, emer_crc16(packet, end), 2U);
        length = emer_cobs(packet, end, out);
        out[length] = 0U;
        ++length;
        emer_skip(encoder);
    }
    return length;
}

#ifdef __cplusplus
}
#endif

#endif /* EMER_TRACKER_H */
