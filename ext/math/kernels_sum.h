/* The one order in which 16 partial sums are added: shared by every level. */
#ifndef REC_KERNELS_SUM_H
#define REC_KERNELS_SUM_H

static inline double kernels_sum16(const double s[16]) {
    double eight[8], four[4];
    for (int i = 0; i < 8; i++) eight[i] = s[i] + s[i + 8];
    for (int i = 0; i < 4; i++) four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

#endif
