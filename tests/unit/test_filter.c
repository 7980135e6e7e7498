#include <stdlib.h>
#include <string.h>

#include "../../ext/ann/filter.h"
#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "check.h"

/* A value of any kind from a small range, so that values repeat and kinds meet. */
static Cell value(Random *random, char text[8]) {
    int64_t small = (int64_t)(random_u64(random) % 9) - 4;
    switch (random_u64(random) % 6) {
    case 0: return (Cell){.kind = CELL_NULL};
    case 1: return (Cell){.kind = CELL_REAL, .real = (double)small / 2};
    case 2: return (Cell){.kind = CELL_INTEGER, .integer = INT64_MAX - (small & 3)};
    case 3: return (Cell){.kind = CELL_REAL, .real = 9223372036854775807.0};
    case 4:
        snprintf(text, 8, "t%d", (int)small);
        return (Cell){
            .kind = small & 1 ? CELL_BLOB : CELL_TEXT, .bytes = text, .len = strlen(text)};
    default: return (Cell){.kind = CELL_INTEGER, .integer = small};
    }
}

/* Bits from ranks against the condition on each value, over lengths around the words of 64. */
TEST(conditions_over_ranks_hold_where_they_hold_for_the_value) {
    static const int64_t lengths[] = {0, 1, 63, 64, 65, 500};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int64_t n = lengths[l];
        FilterColumn column;
        Random random;
        char(*text)[8] = mem_array((size_t)n, sizeof *text);
        Cell *cell = mem_array((size_t)n, sizeof *cell);
        random_init(&random, 3, (uint64_t)n);
        CHECK(filter_column_init(&column, n, NULL) == ST_OK);
        for (int64_t i = 0; i < n; i++) {
            cell[i] = value(&random, text[i]);
            CHECK(filter_column_set(&column, i, &cell[i], NULL) == ST_OK);
        }
        CHECK(filter_column_finish(&column, NULL) == ST_OK);
        for (int round = 0; round < 200; round++) {
            char held[3][8];
            Cell drawn[3] = {value(&random, held[0]), value(&random, held[1]),
                value(&random, held[2])},
                 list[3];
            for (int i = 0; i < 3; i++) CHECK(cell_copy(&list[i], &drawn[i], NULL) == ST_OK);
            Condition condition = {.kind = (ConditionKind)(round % 8),
                .cell = list,
                .n_cells = round % 8 == IS_IN ? 3 : 1};
            uint64_t bits[8], before[8];
            /* what it leaves out it frees */
            if (condition.kind == IS_IN) condition_sort(&condition);
            for (int w = 0; w < 8; w++) before[w] = bits[w] = random_u64(&random);
            CHECK(condition_apply(&condition, &column, bits, NULL) == ST_OK);
            for (int64_t i = 0; i < n; i++)
                CHECK((int)(bits[i >> 6] >> (i & 63) & 1) ==
                    ((before[i >> 6] >> (i & 63) & 1) && condition_holds(&condition, &cell[i])));
            for (size_t i = 0; i < (condition.kind == IS_IN ? condition.n_cells : 3); i++)
                cell_free(&list[i]);
        }
        filter_column_clear(&column);
        mem_free(text);
        mem_free(cell);
    }
}

TEST(values_compare_as_in_sqlite) {
    static const struct {
        Cell a, b;
        int order;
    } cases[] = {
        {{.kind = CELL_NULL}, {.kind = CELL_INTEGER, .integer = -9}, -1},
        {{.kind = CELL_INTEGER, .integer = 5}, {.kind = CELL_REAL, .real = 5.0}, 0},
        {{.kind = CELL_INTEGER, .integer = 9007199254740993},
            {.kind = CELL_REAL, .real = 9007199254740992.0}, 1},
        {{.kind = CELL_INTEGER, .integer = INT64_MAX},
            {.kind = CELL_REAL, .real = 9223372036854775808.0}, -1},
        {{.kind = CELL_REAL, .real = 1e300}, {.kind = CELL_TEXT, .bytes = "", .len = 0}, -1},
        {{.kind = CELL_TEXT, .bytes = "b", .len = 1}, {.kind = CELL_TEXT, .bytes = "ab", .len = 2},
            1},
        {{.kind = CELL_TEXT, .bytes = "a", .len = 1},
            {.kind = CELL_TEXT, .bytes = "a\0b", .len = 3}, -1},
        {{.kind = CELL_TEXT, .bytes = "z", .len = 1}, {.kind = CELL_BLOB, .bytes = "a", .len = 1},
            -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int order = cell_compare(&cases[i].a, &cases[i].b),
            back = cell_compare(&cases[i].b, &cases[i].a);
        CHECK((order > 0) - (order < 0) == cases[i].order);
        CHECK((back > 0) - (back < 0) == -cases[i].order);
    }
}
