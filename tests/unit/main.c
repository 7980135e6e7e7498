#include <stdarg.h>
#include <stdlib.h>

#include "../../ext/base/memory.h"
#include "check.h"

static struct {
    const char *file;
    const char *name;
    TestFunction function;
} cases[1024];
static int n_cases;
static int failures_of_case;

void check_register(const char *file, const char *name, TestFunction function) {
    cases[n_cases].file = file;
    cases[n_cases].name = name;
    cases[n_cases++].function = function;
}

void check_failed(const char *file, int line, const char *format, ...) {
    va_list args;
    if (failures_of_case++ == 0) printf("FAIL\n");
    printf("  %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* unit [PART | -PART]: runs the cases whose name contains the part, or those whose name does not
 * (the others count as skipped). */
int main(int argc, char **argv) {
    int passed = 0, failed = 0, skipped = 0;
    for (int i = 0; i < n_cases; i++) {
        if (argc > 1 && argv[1][0] == '-' && strstr(cases[i].name, argv[1] + 1)) {
            printf("SKIP %s: left out by %s\n", cases[i].name, argv[1]);
            skipped++;
            continue;
        }
        if (argc > 1 && argv[1][0] != '-' && !strstr(cases[i].name, argv[1])) continue;
        long long before = (long long)mem_live();
        failures_of_case = 0;
        cases[i].function();
        if (mem_live() != before)
            check_failed(
                cases[i].file, 0, "%lld allocations are left", (long long)mem_live() - before);
        if (failures_of_case) printf("  in %s: %s\n", cases[i].file, cases[i].name);
        failures_of_case ? failed++ : passed++;
    }
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    printf("\n");
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
