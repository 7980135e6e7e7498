#include "off_policy.h"

const char *const off_policy_names[N_OFF_POLICY] = {"logged", "ips", "snips", "dr", "switch_dr"};

void off_policy_add_place(OffPolicyUser *user, const OffPolicyPlace *place, double tau) {
    double weight = place->weight, rest = place->reward - place->q_shown;
    user->places++;
    user->weight += weight;
    user->squares += weight * weight;
    user->matched += weight > 0;
    user->earned[OFF_POLICY_LOGGED] += place->reward;
    user->earned[OFF_POLICY_IPS] += weight * place->reward;
    user->earned[OFF_POLICY_SNIPS] += weight * place->reward;
    user->earned[OFF_POLICY_DR] += place->q_target + weight * rest;
    user->earned[OFF_POLICY_SWITCH_DR] += place->q_target + (weight <= tau ? weight * rest : 0);
}

void off_policy_add_user(OffPolicySums *sums, const OffPolicyUser *user) {
    for (int i = 0; i < N_OFF_POLICY; i++)
        arm_add(&sums->of[i], user->earned[i], i == OFF_POLICY_SNIPS ? user->weight : user->lists);
    arm_add(&sums->weights, user->weight, user->places);
    sums->lists += user->lists;
    sums->places += user->places;
    sums->matched += user->matched;
    sums->weight += user->weight;
    sums->squares += user->squares;
}

void off_policy_estimates(const OffPolicySums *sums, Estimate *out) {
    double places = sums->lists > 0 ? sums->places / sums->lists : 0;
    for (int i = 0; i < N_OFF_POLICY; i++) out[i] = estimate_ratio(&sums->of[i]);
    out[OFF_POLICY_SNIPS].value *= places;
    out[OFF_POLICY_SNIPS].variance *= places * places;
}

double off_policy_effective(const OffPolicySums *sums) {
    return sums->squares > 0 ? sums->weight * sums->weight / sums->squares : 0;
}

Estimate off_policy_support(const OffPolicySums *sums) { return estimate_ratio(&sums->weights); }
