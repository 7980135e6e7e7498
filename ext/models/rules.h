/* Association rules "who has this also has that" over a dataset (Agrawal et al. 1993; Brin et al.
 * 1997).
 *
 * For items j and i with U users in all, d_j and d_i users of each and c users of both:
 *
 *     support     c / U
 *     confidence  c / d_j
 *     lift        c U / (d_j d_i)
 *     conviction  (1 - d_i / U) / (1 - c / d_j), NaN where all of j have i */
#ifndef REC_RULES_H
#define REC_RULES_H

#include "dataset.h"

typedef struct Rule {
    double support, confidence, lift, conviction;
} Rule;
Rule rule_of(const Dataset *data, int32_t from, int32_t to, double users_of_both);

/* Users that each item has in common with `from`, itself included; users: n_items zeros at first.
 * O(entries of the users of `from`). */
void users_in_common(const Dataset *data, int32_t from, int32_t *users);

#endif
