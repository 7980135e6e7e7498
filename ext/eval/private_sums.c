#include "private_sums.h"

static double norm2_of(int64_t max_history) {
    double m = (double)max_history;
    return m * (m + 1) / 2 + 1;
}

Status private_sums_check(int64_t max_history, double rho, Err *err) {
    if (max_history <= 0)
        return fail(err, ST_BADARG, "rho needs max_history= above 0: how much one user may change");
    return noise_numerator(norm2_of(max_history), rho)
        ? ST_OK
        : fail(err, ST_BADARG, "rho=%g is too small for max_history=%lld", rho,
              (long long)max_history);
}

Status private_sums(ItemSums *sums, double rho, BitSource *source, Task *task, Err *err) {
    TRY(private_sums_check(sums->max_history, rho, err));
    double norm2 = norm2_of(sums->max_history);
    uint64_t numerator = noise_numerator(norm2, rho);
    TRY(item_sums_fill(sums, err));
    task_phase(task, "noise", "items", sums->n_items, sums->n_items);
    int64_t pairs = 0;
    for (int32_t i = 0; i < sums->n_items; i++) {
        int32_t *count = sums->count + sums->row_start[i];
        int64_t n = sums->row_start[i + 1] - sums->row_start[i];
        for (int64_t e = 0; e < n; e++)
            count[e] = item_sums_narrow(count[e] + noise_gaussian(source, numerator));
        pairs += count[0] > 0 ? count[0] : 0;
        atomic_fetch_add(&task->done, 1);
        if (i % 16 == 0 && task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    int64_t users = sums->n_users + noise_gaussian(source, numerator);
    sums->n_users = users < 0 ? 0 : users > INT32_MAX ? INT32_MAX : users;
    sums->n_events = pairs; /* follows from what is told; their real number would tell more */
    sums->rho = noise_rho(norm2, numerator);
    return ST_OK;
}
