#include "product.h"

#include <string.h>

#include "kernels.h"

/* Panels of 16 columns of b are copied together, NC columns at once, so that their lines do not
 * fight for the same places of the cache; MC rows of a meet one panel after the other. KC: how long
 * a sum stays in registers; shorter where a is read across its rows, each number from a line of its
 * own. */
enum { PANEL = 16, NC = 64, MC = 96, KC = 256, KC_ACROSS = 64 };

/* Rows [l, l + k) and columns [j, j + n) of b, panel after panel. */
static void pack(float *out, const Product *p, size_t l, size_t k, size_t j, size_t n) {
    for (size_t row = 0; row < k; row++)
        for (size_t column = 0; column < n; column += PANEL)
            memcpy(out + column * k + row * PANEL, p->b + (l + row) * p->b_row + j + column,
                PANEL * sizeof *out);
}

static void multiply_packed(
    const Product *p, const float *packed, size_t l, size_t k, size_t j, size_t n) {
    const Kernels *with = kernels();
    for (size_t i = 0; i < p->m; i += MC)
        for (size_t column = 0; column < n; column += PANEL)
            with->panel(&(ProductPanel){.m = p->m - i < MC ? p->m - i : MC,
                            .k = k,
                            .a = p->a + i * p->a_row + l * p->a_col,
                            .a_row = p->a_row,
                            .a_col = p->a_col,
                            .b = packed + column * k,
                            .c = p->c + i * p->c_row + j + column,
                            .c_row = p->c_row},
                p->add || l > 0);
}

void product_run(const Product *p) {
    _Alignas(64) float packed[KC * NC];
    size_t step = p->a_col == 1 ? KC : KC_ACROSS;
    for (size_t l = 0; l < p->k; l += step) {
        size_t k = p->k - l < step ? p->k - l : step;
        for (size_t j = 0; j < p->n; j += NC) {
            size_t n = p->n - j < NC ? p->n - j : NC;
            pack(packed, p, l, k, j, n);
            multiply_packed(p, packed, l, k, j, n);
        }
    }
}

void product_naive(const Product *p) {
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double sum = p->add ? (double)p->c[i * p->c_row + j] : 0;
            for (size_t l = 0; l < p->k; l++)
                sum += (double)p->a[i * p->a_row + l * p->a_col] * (double)p->b[l * p->b_row + j];
            p->c[i * p->c_row + j] = (float)sum;
        }
}
