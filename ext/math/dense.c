#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "dense.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/memory.h"

/* LAPACK, Fortran calling convention, column-major: a row-major upper triangle is a column-major
 * lower one. */
extern void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
extern void spotrs_(const char *uplo, const int *n, const int *nrhs, const float *a, const int *lda,
    float *b, const int *ldb, int *info);
extern void spotri_(const char *uplo, const int *n, float *a, const int *lda, int *info);
extern void ssyevd_(const char *job, const char *uplo, const int *n, float *a, const int *lda,
    float *value, float *work, const int *work_len, int *iwork, const int *iwork_len, int *info);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int inside;
static int host_threads, our_threads;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

/* In a forked child only the forking thread is left: nobody else is inside. */
static void unlock_in_child(void) {
    inside = 0;
    pthread_mutex_unlock(&mutex);
}

static void initialise(void) { pthread_atfork(lock, unlock, unlock_in_child); }

/* OpenBLAS keeps a buffer for each thread that is inside it at once, and where the machine gives it
 * none it asks again without end. It never gives one back, so that those which were there once are
 * there. */
/* 128 MiB on x86-64; and of a thread that begins, its stack and the 64 MiB that glibc reserves for
 * an arena of its own, which come after we have looked. */
static const size_t BUFFER = (size_t)208 << 20;
static int n_buffers;

static int has_room(int buffers) {
    size_t bytes = BUFFER * (size_t)(buffers - n_buffers);
    if (buffers <= n_buffers) return 1;
    void *room = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return 0;
    munmap(room, bytes);
    n_buffers = buffers;
    return 1;
}

static Status begin(int buffers, int threads, Err *err) {
    pthread_once(&once, initialise);
    pthread_mutex_lock(&mutex);
    int room = has_room(buffers);
    if (room && inside++ == 0) {
        host_threads = openblas_get_num_threads();
        if (host_threads != threads) openblas_set_num_threads(threads);
        our_threads = threads;
    }
    pthread_mutex_unlock(&mutex);
    return room
        ? ST_OK
        : fail_nomem(err, "OpenBLAS, which takes up to 208 MiB of address space for each thread");
}

Status dense_begin_threads(int threads, Err *err) { return begin(threads, threads, err); }

Status dense_begin(int callers, Err *err) { return begin(callers, 1, err); }

void dense_end(void) {
    pthread_mutex_lock(&mutex);
    if (--inside == 0 && host_threads != our_threads) openblas_set_num_threads(host_threads);
    pthread_mutex_unlock(&mutex);
}

static void mirror(float *gram, int32_t d) {
    for (int32_t i = 0; i < d; i++)
        for (int32_t j = 0; j < i; j++)
            gram[(size_t)i * (size_t)d + (size_t)j] = gram[(size_t)j * (size_t)d + (size_t)i];
}

void dense_gram(float *gram, const float *x, float scale, int32_t n, int32_t d) {
    memset(gram, 0, (size_t)d * (size_t)d * sizeof *gram);
    dense_gram_add(gram, x, scale, n, d);
    mirror(gram, d);
}

void dense_gram_naive(float *gram, const float *x, float scale, int32_t n, int32_t d) {
    size_t width = (size_t)d;
    for (size_t i = 0; i < width; i++)
        for (size_t j = 0; j < width; j++) {
            double sum = 0;
            for (size_t r = 0; r < (size_t)n; r++)
                sum += (double)x[r * width + i] * (double)x[r * width + j];
            gram[i * width + j] = (float)(scale * sum);
        }
}

void dense_gram_add(float *gram, const float *x, float scale, int32_t n, int32_t d) {
    if (n > 0) cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, d, n, scale, x, d, 1.0f, gram, d);
}

void dense_gram_rows(float *gram, const float *x, int32_t n, int32_t d) {
    if (n > 0) cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, d, 1, x, d, 0, gram, n);
}

enum { SMALL = 32 };

#if defined(__clang__)
#define VECTORISED
#else
#define VECTORISED __attribute__((optimize("O3")))
#endif

/* The same by hand: of a small system LAPACK's calls take longer than the work. a = R'R row by row,
 * then R'y = b and Rz = y. */
VECTORISED static int solve_small(float *restrict a, float *restrict b, size_t d) {
    for (size_t k = 0; k < d; k++) {
        float *restrict pivot = a + k * d;
        if (!(pivot[k] > 0)) return 1;
        float inverse = 1 / sqrtf(pivot[k]);
        for (size_t j = k; j < d; j++) pivot[j] *= inverse;
        for (size_t i = k + 1; i < d; i++) {
            float *restrict row = a + i * d;
            float factor = pivot[i];
            for (size_t j = i; j < d; j++) row[j] -= factor * pivot[j];
        }
        b[k] /= pivot[k];
        for (size_t j = k + 1; j < d; j++) b[j] -= b[k] * pivot[j];
    }
    for (size_t k = d; k-- > 0;) {
        const float *row = a + k * d;
        float sum = b[k];
        for (size_t j = k + 1; j < d; j++) sum -= row[j] * b[j];
        b[k] = sum / row[k];
    }
    return 0;
}

int dense_solve_spd(float *a, float *b, int32_t d, int32_t n_rhs) {
    int info = 0;
    if (d <= SMALL && n_rhs == 1) return solve_small(a, b, (size_t)d);
    spotrf_("L", &d, a, &d, &info);
    if (info) return 1;
    dense_solve_again(a, b, d, n_rhs);
    return 0;
}

void dense_solve_again(const float *factor, float *b, int32_t d, int32_t n_rhs) {
    int info = 0;
    spotrs_("L", &d, &n_rhs, factor, &d, b, &d, &info);
}

void dense_multiply(const DenseProduct *p) {
    if (p->m > 0 && p->n > 0)
        cblas_sgemm(CblasRowMajor, p->a_t ? CblasTrans : CblasNoTrans,
            p->b_t ? CblasTrans : CblasNoTrans, p->m, p->n, p->k, p->alpha, p->a, p->a_row, p->b,
            p->b_row, p->beta, p->c, p->c_row);
}

int dense_cholesky(float *a, int32_t d) {
    int info = 0;
    spotrf_("L", &d, a, &d, &info);
    return info != 0;
}

int dense_invert_spd(float *a, int32_t d) {
    int info = 0;
    if (dense_cholesky(a, d)) return 1;
    spotri_("L", &d, a, &d, &info);
    mirror(a, d);
    return info != 0;
}

void dense_divide_upper(float *x, const float *r, int32_t n, int32_t d) {
    if (n > 0)
        cblas_strsm(
            CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, n, d, 1, r, d, x, d);
}

int dense_eigen(float *a, float *value, int32_t d) {
    int info = 0, ask = -1, int_len = 0;
    float len = 0;
    if (d == 0) return 0;
    ssyevd_("V", "L", &d, a, &d, value, &len, &ask, &int_len, &ask, &info);
    int work_len = (int)len;
    float *work = mem_array((size_t)work_len, sizeof *work);
    int *iwork = mem_array((size_t)int_len, sizeof *iwork);
    if (work && iwork) ssyevd_("V", "L", &d, a, &d, value, work, &work_len, iwork, &int_len, &info);
    int result = work && iwork ? info != 0 : -1;
    mem_free(work);
    mem_free(iwork);
    return result;
}

const char *dense_library(void) { return openblas_get_config(); }
