/* Scores to probabilities, by what held examples say.
 *
 *     Platt     1 / (1 + exp(-(a s + b))), by maximum likelihood with Platt's targets
 *               (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) (Platt 1999; Lin, Lin and Weng 2007)
 *     isotonic  the least-squares rising function (pool adjacent violators), between its places by
 *               straight lines (Zadrozny and Elkan 2002) */
#ifndef REC_CALIBRATION_H
#define REC_CALIBRATION_H

#include "../base/bytes.h"
#include "../base/status.h"

typedef enum CalibrationKind { CALIBRATION_PLATT = 1, CALIBRATION_ISOTONIC } CalibrationKind;

typedef struct Calibration {
    CalibrationKind kind;
    double a, b;
    double *x, *y; /* n places of isotonic, ascending */
    int32_t n;
} Calibration;

/* Of n scores and labels (0 or 1), with weights. */
Status calibration_fit(Calibration *out, CalibrationKind kind, const double *score,
    const uint8_t *label, const double *weight, int64_t n, Err *err);
double calibration_apply(const Calibration *calibration, double score);
void calibration_clear(Calibration *calibration);
void calibration_write(const Calibration *calibration, Bytes *out);
Status calibration_read(Calibration *out, Reader *in, Err *err);

#endif
