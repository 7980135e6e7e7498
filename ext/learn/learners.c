#include "learners.h"

#include <string.h>

const Learner *const learner_registry[] = {
#define X(name) &name##_learner,
    LEARNERS(X)
#undef X
        NULL,
};

const Learner *learner_find(const char *name) {
    for (size_t i = 0; learner_registry[i]; i++)
        if (strcmp(learner_registry[i]->name, name) == 0) return learner_registry[i];
    return NULL;
}
