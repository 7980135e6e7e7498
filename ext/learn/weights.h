/* Rows of float32 weights as they are kept: as they are, or as bytes.
 *
 * weights=int8 makes each row scale * code, |code| <= 127, scale = max|x| / 127: a quarter of the
 * bytes. The rounding happens once, after training, so that a version says the same before and
 * after it is stored. */
#ifndef REC_WEIGHTS_H
#define REC_WEIGHTS_H

#include "../base/bytes.h"
#include "../base/options.h"

typedef enum WeightsKind { WEIGHTS_FLOAT, WEIGHTS_INT8 } WeightsKind;
#define WEIGHTS_OPTION(OWNER) \
    { \
        "weights", OPT_CHOICE, offsetof(OWNER, weights), 0, 0, WEIGHTS_FLOAT, "float|int8", \
            "how they are kept: int8 takes a quarter of the bytes and rounds each row to 255 " \
            "steps" \
    }

/* rows x n numbers become what stays of them. */
Status weights_round(WeightsKind kind, float *x, int64_t rows, int32_t n, Err *err);
void weights_write(WeightsKind kind, const float *x, int64_t rows, int32_t n, Bytes *out);
/* *out is to be mem_free'd; numbers are finite. */
Status weights_read(WeightsKind kind, float **out, int64_t rows, int32_t n, Reader *in, Err *err);

#endif
