/* What another policy would have earned on lists that were logged with their propensities.
 *
 * A place k of list i was given item a with the logged propensity p(a, k), and earned r. The other
 * policy would have put its item e there. w = 1/p where e = a, else 0; q is a model of r. A list is
 * worth the sum over its places (the item-position model: a click depends on the item and the
 * place; Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen 2018):
 *
 *     ips        w r                                  unbiased where every e was possible
 *     snips      places a list * sum w r / sum w      (Swaminathan and Joachims 2015)
 *     dr         q(e, k) + w (r - q(a, k))            (Dudik, Langford and Li 2011)
 *     switch_dr  the same, w only where it is at most tau (Wang, Agarwal and Dudik 2017)
 *
 * Lists of one user belong together: a user is one observation, and an estimate is a ratio of sums
 * over users (experiment.h). */
#ifndef REC_OFF_POLICY_H
#define REC_OFF_POLICY_H

#include "experiment.h"

typedef enum OffPolicyEstimator {
    OFF_POLICY_LOGGED, /* what the lists have earned as they were */
    OFF_POLICY_IPS,
    OFF_POLICY_SNIPS,
    OFF_POLICY_DR,
    OFF_POLICY_SWITCH_DR,
    N_OFF_POLICY
} OffPolicyEstimator;
extern const char *const off_policy_names[N_OFF_POLICY];

/* A place of a list. q_shown: q of the item that was shown; q_target: of the other policy's, 0
 * where it has none. */
typedef struct OffPolicyPlace {
    double weight, reward, q_shown, q_target;
} OffPolicyPlace;

/* The sums over one user's lists. */
typedef struct OffPolicyUser {
    double lists, places;
    double earned[N_OFF_POLICY]; /* of snips: sum w r */
    double weight, squares;      /* sum w, sum w^2 */
    double matched;              /* places where both policies agree */
} OffPolicyUser;
void off_policy_add_place(OffPolicyUser *user, const OffPolicyPlace *place, double tau);

typedef struct OffPolicySums {
    ArmSums of[N_OFF_POLICY]; /* y: earned; x: lists, of snips sum w */
    ArmSums weights;          /* y: sum w; x: places */
    double lists, places, matched, weight, squares;
} OffPolicySums;
void off_policy_add_user(OffPolicySums *sums, const OffPolicyUser *user);

/* Each a list, with its variance; NaN where there are fewer than 2 users. */
void off_policy_estimates(const OffPolicySums *sums, Estimate *out);
/* (sum w)^2 / sum w^2, 0 where nothing matches (Kong 1992). */
double off_policy_effective(const OffPolicySums *sums);
/* The mean of w over places: 1 in expectation where the logging policy could do all that the other
 * one does, less where it could not. */
Estimate off_policy_support(const OffPolicySums *sums);

#endif
