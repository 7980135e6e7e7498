/* Which version answers a query: the one that is named, the arm's where an experiment runs, else
 * the active one; and where that does not load, the last good one. */
#ifndef REC_MODEL_ANSWER_H
#define REC_MODEL_ANSWER_H

#include "model_request.h"

/* A version, held with scratch memory to ask it. */
typedef struct Answering {
    Model *model;
    ModelQuery *query;
    sqlite3_int64 version;
    char arm[ROUTE_NAME]; /* "": none */
    char experiment[ROUTE_NAME];
    double share;  /* of the units that the arm has; 1 where there is none */
    int fell_back; /* it answers in the place of one that does not load */
    int is_routed; /* an experiment has decided, be it that no arm has her */
    int place; /* of the arm whose units it answers, whatever it fell back to; -1: of the rest */
} Answering;

/* For the request's user or unit. */
Status answer_request(ModelTable *table, const Request *request, Answering *out, Err *err);
/* The version of an arm of the experiment that runs, -1: of those whom it leaves out; or the one
 * that answers in its place. */
Status answer_arm(ModelTable *table, int arm, Answering *out, Err *err);
/* A version by number or alias, for a part of an answer. */
Status answer_version(ModelTable *table, const char *name, Answering *out, Err *err);

/* Who is routed: the user, or the unit that the options name; 0: nobody. buffer: KEY_BUFFER
 * bytes. */
int answer_unit(const ModelTable *table, const Request *request, char *buffer, Key *out);

/* Everybody's lists: a version for each arm of the experiment that runs, and one (the first) for
 * those whom it leaves out. */
typedef struct Arms {
    Answering *answering; /* owned; the versions are the caller's to give back */
    int n;
    Experiment experiment; /* as it is now: another statement may stop it meanwhile */
    double now;
} Arms;
Status answer_everybody(ModelTable *table, const Request *request, Arms *out, Err *err);
/* Is the user one whom this one of them answers? */
Status answer_has_user(const Arms *arms, int i, Key user, int *out, Err *err);

void answer_give_back(ModelTable *table, Answering *answering);
void loaded_clear(LoadedVersion *loaded);

#endif
