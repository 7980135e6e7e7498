#include "packed.h"

#include <stdint.h>
#include <string.h>

#include "kernels.h"

/* How many rows of a panel are made floats at once, and how many rows of a meet them. */
enum { PANEL = 16, KC = 256, MC = 96, INT8_LIMIT = 127 };

/* Below this a factor would be no normal float. */
static const float TINY = 1e-30F;

static size_t size_of(PackedKind kind) {
    static const size_t size[] = {sizeof(float), sizeof(uint16_t), sizeof(int8_t)};
    return size[kind];
}

size_t packed_bytes(PackedKind kind, size_t k, size_t n) { return k * n * size_of(kind); }

/* Column j, whose numbers stand in column. */
static void set_column(
    PackedKind kind, size_t k, size_t j, float *column, void *panel, float *factor) {
    size_t at = j / PANEL * PANEL * k + j % PANEL;
    if (kind == PACKED_INT8) {
        float most = 0;
        for (size_t l = 0; l < k; l++) {
            float size = column[l] < 0 ? -column[l] : column[l];
            most = size > most ? size : most;
        }
        factor[j] = most < TINY ? 0 : most / INT8_LIMIT;
    }
    for (size_t l = 0; l < k; l++) {
        size_t place = at + l * PANEL;
        if (kind == PACKED_FLOAT) ((float *)panel)[place] = column[l];
        if (kind == PACKED_HALF) ((uint16_t *)panel)[place] = half_of(column[l]);
        if (kind == PACKED_INT8) {
            float code = factor[j] > 0 ? column[l] / factor[j] : 0;
            ((int8_t *)panel)[place] = (int8_t)(code + (code < 0 ? -.5F : .5F));
        }
    }
}

void packed_set(PackedKind kind, size_t k, size_t n, const float *b, size_t row, size_t column,
    void *panel, float *factor, float *scratch) {
    for (size_t j = 0; j < n; j++) {
        for (size_t l = 0; l < k; l++) scratch[l] = b[l * row + j * column];
        set_column(kind, k, j, scratch, panel, factor);
    }
}

/* Numbers [at, at + n) of the panels as floats: in place, or in room. */
static const float *floats_of(const Packed *b, size_t at, size_t n, float *room) {
    switch (b->kind) {
    case PACKED_FLOAT: return (const float *)b->panel + at;
    case PACKED_HALF: kernels()->from_half((const uint16_t *)b->panel + at, room, n); return room;
    case PACKED_INT8:
    default: kernels()->from_code((const int8_t *)b->panel + at, 1, room, n); return room;
    }
}

static void add_bias(
    const Packed *b, size_t m, size_t j, const float *bias, float *c, size_t c_row) {
    for (size_t i = 0; i < m; i++)
        for (size_t t = j; t < j + PANEL; t++)
            c[i * c_row + t] = c[i * c_row + t] * (b->factor ? b->factor[t] : 1) + bias[t];
}

void packed_product(const Packed *b, size_t m, const float *a, size_t a_row, const float *bias,
    float *c, size_t c_row) {
    const Kernels *with = kernels();
    _Alignas(64) float room[KC * PANEL];
    for (size_t j = 0; j < b->n; j += PANEL) {
        for (size_t l = 0; l < b->k; l += KC) {
            size_t k = b->k - l < KC ? b->k - l : KC;
            const float *panel = floats_of(b, j * b->k + l * PANEL, k * PANEL, room);
            for (size_t i = 0; i < m; i += MC)
                with->panel(&(ProductPanel){.m = m - i < MC ? m - i : MC,
                                .k = k,
                                .a = a + i * a_row + l,
                                .a_row = a_row,
                                .a_col = 1,
                                .b = panel,
                                .c = c + i * c_row + j,
                                .c_row = c_row},
                    l > 0);
        }
        add_bias(b, m, j, bias, c, c_row);
    }
}
