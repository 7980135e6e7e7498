/* rec_off_policy(model, version [, options]): what a version would have earned on the lists of the
 * log, without being shown (metrics/off_policy.h).
 *
 * For every logged list the version is asked for its own, of that user at that time (`until`), as
 * anybody would ask it: by SQL. q, the model of what a place earns, is the mean of the place times
 * what the item earned over what its places let expect, drawn to 1 by PRIOR expected outcomes; of
 * the other half of the users, so that no outcome is in its own expectation. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../metrics/off_policy.h"
#include "../../metrics/special.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../versions/version_find.h"
#include "logged_lists.h"

typedef struct OffPolicyOptions {
    LogScope scope;
    double alpha, tau, least;
    int64_t sums;
    char list[512]; /* options of a list, JSON */
} OffPolicyOptions;

static const OptSpec off_policy_options[] = {
    {"sum", OPT_FLAG, offsetof(OffPolicyOptions, sums), 0, 0, 0, NULL,
        "a row earns the sum of its outcomes' values instead of 1"},
    {"alpha", OPT_REAL, offsetof(OffPolicyOptions, alpha), 1e-6, .5, .05, NULL, "level"},
    {"tau", OPT_REAL, offsetof(OffPolicyOptions, tau), 1, 1e9, 20, NULL,
        "of switch_dr: above this weight the model of rewards speaks alone"},
    {"least", OPT_REAL, offsetof(OffPolicyOptions, least), 2, 1e9, 100, NULL,
        "effective number of matching places below which nothing is said"},
    {"options", OPT_TEXT, offsetof(OffPolicyOptions, list), 0, 512, 0, "{}",
        "as the version is asked for its list, JSON"},
    {0},
};

/* ---- the model of rewards ---- */

static const double PRIOR = 5;

typedef struct RewardModel {
    double *place_reward, *place_rows;   /* n_places */
    double *item_reward, *item_expected; /* n_items */
    double unit;                         /* mean of the rewards that are not 0 */
} RewardModel;

static void reward_model_clear(RewardModel *model) {
    mem_free(model->place_reward);
    mem_free(model->place_rows);
    mem_free(model->item_reward);
    mem_free(model->item_expected);
}

static double place_mean(const RewardModel *model, int32_t place) {
    return model->place_rows[place] > 0 ? model->place_reward[place] / model->place_rows[place] : 0;
}

/* item -1: none that was ever shown. */
static double expected_reward(const RewardModel *model, int32_t item, int32_t place) {
    double mean = place_mean(model, place);
    if (item < 0) return mean;
    double prior = PRIOR * model->unit, expected = model->item_expected[item] + prior;
    /* losses (negative sums) may leave nothing to divide by */
    return expected > 0 ? mean * (model->item_reward[item] + prior) / expected : mean;
}

/* Over the users of odd or even number. */
static Status reward_model_fit(RewardModel *out, const LoggedLists *lists, int half, Err *err) {
    size_t n_places = (size_t)lists->n_places, n_items = (size_t)keymap_count(lists->items);
    out->place_reward = mem_zeros(n_places, sizeof(double));
    out->place_rows = mem_zeros(n_places, sizeof(double));
    out->item_reward = mem_zeros(n_items, sizeof(double));
    out->item_expected = mem_zeros(n_items, sizeof(double));
    if (!out->place_reward || !out->place_rows || !out->item_reward || !out->item_expected)
        return fail_nomem(err, "the model of rewards");
    double sum = 0, n = 0;
    for (int64_t i = 0; i < lists->n_rows; i++) {
        sum += fabs(lists->row[i].reward);
        n += lists->row[i].reward != 0;
    }
    out->unit = n > 0 ? sum / n : 1;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < lists->n_lists; i++) {
            if ((lists->list[i].user & 1) != half) continue;
            for (int64_t j = lists->list[i].first; j < lists->list[i + 1].first; j++) {
                const LoggedRow *row = &lists->row[j];
                if (pass) {
                    out->item_reward[row->item] += row->reward;
                    out->item_expected[row->item] += place_mean(out, row->place);
                } else {
                    out->place_reward[row->place] += row->reward;
                    out->place_rows[row->place]++;
                }
            }
        }
    return ST_OK;
}

/* ---- the other version's lists ---- */

typedef struct OffPolicy {
    Versioned versioned;
    OffPolicyOptions options;
    LoggedLists lists;
    RewardModel rewards[2]; /* of users of even and of odd number */
    json_t *asked;          /* the options of a list */
    sqlite3_stmt *ask;
    int32_t *target; /* n_places: the item there, -1 unknown, NOBODY none */
    OffPolicySums sums;
} OffPolicy;

enum { NOBODY = -2 };

static Status bind_list(OffPolicy *policy, const LoggedList *list, int32_t places, Err *err) {
    Key user = keymap_key(policy->lists.users, list->user);
    if (json_object_set_new(policy->asked, "until", json_real(list->at)) != 0)
        return fail_nomem(err, "the options of a list");
    char *text = json_dumps(policy->asked, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!text) return fail_nomem(err, "the options of a list");
    value_bind_key(policy->ask, 1, user);
    sqlite3_bind_int(policy->ask, 2, places);
    sqlite3_bind_text(policy->ask, 3, text, -1, SQLITE_TRANSIENT);
    free(text);
    return ST_OK;
}

static Status ask_version(OffPolicy *policy, const LoggedList *list, int32_t places, Err *err) {
    char buffer[KEY_BUFFER];
    Key item;
    for (int32_t i = 0; i < places; i++) policy->target[i] = NOBODY;
    TRY(bind_list(policy, list, places, err));
    Status status = ST_OK;
    while (sql_next(policy->versioned.db, policy->ask, &status, err)) {
        sqlite3_int64 rank = sqlite3_column_int64(policy->ask, 1);
        if (rank < 1 || rank > places) continue;
        if (value_key(sqlite3_column_value(policy->ask, 0), AFFINITY_NONE, buffer, &item))
            policy->target[rank - 1] = keymap_find(policy->lists.items, item);
    }
    sqlite3_reset(policy->ask);
    return status;
}

static Status judge_list(OffPolicy *policy, int64_t i, OffPolicyUser *user, Err *err) {
    const LoggedList *list = &policy->lists.list[i];
    const RewardModel *rewards = &policy->rewards[!(list->user & 1)];
    int32_t places = 0;
    for (int64_t j = list->first; j < list[1].first; j++)
        if (policy->lists.row[j].place >= places) places = policy->lists.row[j].place + 1;
    TRY(ask_version(policy, list, places, err));
    user->lists++;
    for (int64_t j = list->first; j < list[1].first; j++) {
        const LoggedRow *row = &policy->lists.row[j];
        int32_t target = policy->target[row->place];
        OffPolicyPlace place = {.weight = target == row->item ? 1 / row->propensity : 0,
            .reward = row->reward,
            .q_shown = expected_reward(rewards, row->item, row->place),
            .q_target = target == NOBODY ? 0 : expected_reward(rewards, target, row->place)};
        off_policy_add_place(user, &place, policy->options.tau);
    }
    return ST_OK;
}

static Status judge(OffPolicy *policy, Err *err) {
    const LoggedLists *lists = &policy->lists;
    OffPolicyUser user = {0};
    for (int64_t i = 0; i < lists->n_lists; i++) {
        TRY(judge_list(policy, i, &user, err));
        if (i + 1 < lists->n_lists && lists->list[i + 1].user == lists->list[i].user) continue;
        off_policy_add_user(&policy->sums, &user);
        user = (OffPolicyUser){0};
    }
    return ST_OK;
}

/* ---- the rows ---- */

/* Below that an interval by the normal distribution is too narrow. */
enum { FEW_USERS = 30 };

/* 3 standard errors: a support that is this short of 1 is no accident. */
static const char *verdict(const OffPolicySums *sums, double least) {
    Estimate support = off_policy_support(sums);
    if (off_policy_effective(sums) < least) return "too few matches";
    if (sums->weights.n < FEW_USERS) return "too few users";
    if (support.value > 1.05 && support.value - 3 * sqrt(support.variance) > 1)
        return "wrong propensities";
    if (support.value < .95 && support.value + 3 * sqrt(support.variance) < 1) return "no support";
    return "ok";
}

static void rows_of(RowSink *sink, const OffPolicy *policy) {
    const OffPolicySums *sums = &policy->sums;
    Estimate estimate[N_OFF_POLICY];
    double width = normal_quantile(1 - policy->options.alpha / 2);
    const char *said = verdict(sums, policy->options.least);
    off_policy_estimates(sums, estimate);
    for (int i = 0; i < N_OFF_POLICY; i++) {
        int is_silent = i != OFF_POLICY_LOGGED && strncmp(said, "too few", 7) == 0;
        double half = is_silent ? NAN : width * sqrt(estimate[i].variance);
        row_text(sink, off_policy_names[i]);
        row_number(sink, is_silent ? NAN : estimate[i].value);
        row_number(sink, estimate[i].value - half);
        row_number(sink, estimate[i].value + half);
        row_integer(sink, (sqlite3_int64)sums->weights.n);
        row_integer(sink, (sqlite3_int64)sums->lists);
        row_integer(sink, (sqlite3_int64)sums->places);
        row_integer(sink, (sqlite3_int64)sums->matched);
        row_real(sink, off_policy_effective(sums));
        row_number(sink, off_policy_support(sums).value);
        row_integer(sink, policy->lists.left_out);
        row_text(sink, i == OFF_POLICY_LOGGED ? "logged" : said);
    }
}

static Status prepare(OffPolicy *policy, const char *version, Err *err) {
    json_error_t json_error;
    const Versioned *versioned = &policy->versioned;
    policy->asked = json_loads(policy->options.list, 0, &json_error);
    if (!json_is_object(policy->asked))
        return fail(err, ST_BADARG, "options: the options of a list are a JSON object");
    if (!version) return fail(err, ST_BADARG, "version is a number or an alias");
    if (json_object_set_new(policy->asked, "at", json_string(version)) != 0)
        return fail(err, ST_BADARG, "version is a number or an alias");
    TRY(logged_lists_read(
        &policy->lists, versioned, &policy->options.scope, (int)policy->options.sums, err));
    for (int half = 0; half < 2; half++)
        TRY(reward_model_fit(&policy->rewards[half], &policy->lists, half, err));
    policy->target = mem_array((size_t)policy->lists.n_places, sizeof *policy->target);
    if (!policy->target) return fail_nomem(err, "a list");
    return sql_prepare(versioned->db, &policy->ask, err,
        "SELECT item, rank FROM \"%w\".\"%w\" WHERE user=?1 AND k=?2 AND options=?3",
        versioned->schema, versioned->name);
}

static Status off_policy_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    OffPolicy policy = {0};
    OptTarget own = {off_policy_options, &policy.options};
    TRY(log_scope_read(&policy.options.scope, argv[2], &own, err));
    TRY(version_find(&policy.versioned, db, value_text(argv[0]), err));
    Status status = prepare(&policy, value_text(argv[1]), err);
    if (status == ST_OK) status = judge(&policy, err);
    if (status == ST_OK) rows_of(sink, &policy);
    sqlite3_finalize(policy.ask);
    json_decref(policy.asked);
    mem_free(policy.target);
    for (int half = 0; half < 2; half++) reward_model_clear(&policy.rewards[half]);
    logged_lists_clear(&policy.lists);
    version_found_clear(&policy.versioned);
    return status;
}

int register_off_policy(sqlite3 *db) {
    static const RowTable table = {.name = "rec_off_policy",
        .columns = "estimator TEXT, value REAL, low REAL, high REAL, users INTEGER, lists INTEGER, "
                   "places INTEGER, matched INTEGER, effective REAL, support REAL, left_out "
                   "INTEGER, verdict TEXT",
        .n_columns = 12,
        .arguments = ", model HIDDEN, version HIDDEN, options HIDDEN",
        .n_arguments = 3,
        .n_required = 2,
        .fill = off_policy_fill};
    return row_table_register(db, &table);
}
