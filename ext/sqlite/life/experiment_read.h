/* An experiment as the log has it: its terms from the audit, its users from what was shown, and
 * what they did after they were first shown a list of it. */
#ifndef REC_EXPERIMENT_READ_H
#define REC_EXPERIMENT_READ_H

#include "../../metrics/experiment.h"
#include "../versions/version_audit.h"

/* The run of an experiment, the last one of that name. */
typedef struct ExperimentRun {
    Experiment experiment;
    double from, until; /* lists of which time count; until: infinite while it runs */
    int is_running;
    int shares_moved; /* they were changed on the way */
} ExperimentRun;
/* name: NULL for the one that runs. */
Status experiment_run_read(
    const Versioned *versioned, const char *name, ExperimentRun *out, Err *err);

/* What is measured of a user:
 *     any:KIND     1 if she has such an outcome, else 0         conversion is any:purchase
 *     count:KIND   how many                                     purchases, clicks, ...
 *     sum:KIND     their values                                 revenue is sum:purchase
 *     list:KIND    how many a list that she was shown, a ratio  ctr is list:click */
typedef enum MeasureKind { MEASURE_ANY, MEASURE_COUNT, MEASURE_SUM, MEASURE_LIST } MeasureKind;
typedef struct Measure {
    MeasureKind by;
    char kind[ROUTE_NAME];
} Measure;
Status measure_parse(const char *text, Measure *out, Err *err);

/* Whose lists count, and what lies before. */
typedef struct ExperimentScope {
    char scenario[ROUTE_NAME]; /* "": every one */
    double before_days;        /* for CUPED: the measure of so many days before it began; 0: none */
    double window_days;        /* outcomes of so many days after her first list; 0: until the end */
} ExperimentScope;

/* SELECT user, arm, lists, first, value, before, several: one row a user, by the arm of her first
 * list; several: lists of other arms were shown to her, too. *out is NULL where nothing was ever
 * logged. */
Status experiment_users(const Versioned *versioned, const ExperimentRun *run,
    const Measure *measure, const ExperimentScope *scope, sqlite3_stmt **out, Err *err);

/* The sums of every arm: x is lists for a ratio, else the measure before. several: users who were
 * shown lists of several arms. */
typedef struct ArmTotals {
    ArmSums arm[ROUTE_MAX_ARMS];
    double lists[ROUTE_MAX_ARMS];
    double several;
    double first, last; /* exposures of users */
} ArmTotals;
Status experiment_totals(const Versioned *versioned, const ExperimentRun *run,
    const Measure *measure, const ExperimentScope *scope, ArmTotals *out, Err *err);
/* Each arm's estimate of the measure: a ratio, or a mean that CUPED makes narrower. */
void experiment_estimates(const ArmTotals *totals, int n, const Measure *measure, Estimate *out);

#endif
