/* Item sums (models/item_sums.h) that tell of no single user.
 *
 * One user changes the counts of pairs and the number of users by at most sqrt(m (m + 1) / 2 + 1)
 * in the Euclidean norm, m the items that a user counts with (max_history). Every number gets
 * discrete Gaussian noise for that (metrics/private_noise.h): rho zero-concentrated differential
 * privacy. Which items there are, and until when events count, must be public: the items are those
 * of a catalogue. */
#ifndef REC_PRIVATE_SUMS_H
#define REC_PRIVATE_SUMS_H

#include "../metrics/private_noise.h"
#include "../models/item_sums.h"

/* Can there be such noise? */
Status private_sums_check(int64_t max_history, double rho, Err *err);
/* rho > 0: what the noise may cost; sums->rho gets what it does. ST_BADARG where
 * private_sums_check says so. About 3 microseconds a pair of items; cancellable, and then the sums
 * are of no use. */
Status private_sums(ItemSums *sums, double rho, BitSource *source, Task *task, Err *err);

#endif
