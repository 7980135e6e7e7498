#include "centres.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "../math/kernels.h"
#include "../math/product.h"

Status design_matrix(const Design *design, float **out, Err *err) {
    size_t row = up16((size_t)design->dim);
    *out = NULL;
    if ((double)row * (double)design->n * sizeof(float) > 4294967296.0)
        return fail(err, ST_BADARG,
            "%lld examples of %d columns would take more than 4 GiB (max_terms, max_categories)",
            (long long)design->n, (int)design->dim);
    float *x = *out = mem_zeros((size_t)design->n, row * sizeof *x);
    if (!x) return fail_nomem(err, "the examples");
    for (int64_t i = 0; i < design->n; i++) {
        DesignRow own = design_row(design, i);
        float *to = x + (size_t)i * row;
        memcpy(to, own.dense, (size_t)own.n_dense * sizeof *to);
        for (int64_t e = 0; e < own.n; e++) to[own.col[e]] = own.val[e];
    }
    return ST_OK;
}

void points_clear(Points *points) {
    mem_free(points->x);
    mem_free(points->norm);
    *points = (Points){0};
}

static void set_norms(Points *points) {
    size_t row = up16((size_t)points->dim);
    for (int32_t i = 0; i < points->n; i++) {
        const float *x = points->x + (size_t)i * row;
        points->norm[i] = kernels()->dot(x, x, row);
    }
}

Status points_init(Points *out, const float *x, int32_t n, int32_t dim, Err *err) {
    size_t row = up16((size_t)dim);
    *out = (Points){.n = n, .dim = dim};
    out->x = mem_array((size_t)n, row * sizeof *out->x);
    out->norm = mem_array((size_t)n, sizeof *out->norm);
    if (!out->x || !out->norm) return fail_nomem(err, "the points");
    memcpy(out->x, x, (size_t)n * row * sizeof *x);
    set_norms(out);
    return ST_OK;
}

double design_row_norm(const DesignRow *row) {
    double sum = kernels()->dot(row->dense, row->dense, (size_t)row->n_dense);
    for (int64_t e = 0; e < row->n; e++) sum += (double)row->val[e] * row->val[e];
    return sum;
}

double points_distance(const Points *points, int32_t i, const DesignRow *row, double row_norm) {
    const float *x = points->x + (size_t)i * up16((size_t)points->dim);
    if (!row->n && row->n_dense == points->dim)
        return kernels()->l2_squared(x, row->dense, (size_t)row->n_dense);
    double dot = kernels()->dot(x, row->dense, (size_t)row->n_dense);
    for (int64_t e = 0; e < row->n; e++) dot += (double)x[row->col[e]] * row->val[e];
    return fmax(points->norm[i] + row_norm - 2 * dot, 0);
}

Status points_graph(const Points *points, OnnxGraph *g, const char *out, Err *err) {
    size_t row = up16((size_t)points->dim), n = (size_t)points->n, dim = (size_t)points->dim;
    double *turned = mem_array(dim, n * sizeof *turned), *zeros = mem_zeros(n, sizeof *zeros);
    if (turned && zeros) {
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < dim; c++) turned[c * n + i] = points->x[i * row + c];
        onnx_affine(g, "xd", turned, points->dim, points->n, zeros, "inner");
        onnx_doubles(g, "point_norm", points->norm, 1, points->n);
        onnx_number(g, "two", 2);
        onnx_number(g, "nothing", 0);
        onnx_node(g, "Mul", ONNX_IN("xd", "xd"), "x_square");
        onnx_row_sum(g, "x_square", "x_norm");
        onnx_node(g, "Add", ONNX_IN("x_norm", "point_norm"), "norms");
        onnx_node(g, "Mul", ONNX_IN("inner", "two"), "twice");
        onnx_node(g, "Sub", ONNX_IN("norms", "twice"), "difference");
        onnx_node(g, "Max", ONNX_IN("difference", "nothing"), out);
    }
    Status status = turned && zeros ? ST_OK : fail_nomem(err, "the model");
    mem_free(turned);
    mem_free(zeros);
    return status;
}

void points_write(const Points *points, Bytes *out) {
    size_t row = up16((size_t)points->dim);
    bytes_u32(out, (uint32_t)points->n);
    for (int32_t i = 0; i < points->n; i++)
        bytes_append(out, points->x + (size_t)i * row, (size_t)points->dim * sizeof *points->x);
}

Status points_read(Points *out, int32_t dim, Reader *in, Err *err) {
    uint32_t n = read_u32(in);
    size_t row = up16((size_t)dim);
    const char *x = read_block(in, n, (size_t)dim * sizeof(float));
    *out = (Points){.dim = dim};
    if (!x || n > INT32_MAX) return fail(err, ST_CORRUPT, "the points are damaged");
    out->x = mem_zeros(n, row * sizeof *out->x);
    out->norm = mem_array(n, sizeof *out->norm);
    if (!out->x || !out->norm) return fail_nomem(err, "the points");
    for (uint32_t i = 0; i < n; i++)
        memcpy(out->x + i * row, x + (size_t)i * (size_t)dim * sizeof *out->x,
            (size_t)dim * sizeof *out->x);
    out->n = (int32_t)n;
    for (size_t i = 0; i < (size_t)n * row; i++)
        if (!isfinite(out->x[i])) return fail(err, ST_CORRUPT, "the points are damaged");
    set_norms(out);
    return ST_OK;
}
