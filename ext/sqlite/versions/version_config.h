/* NAME_config: what CREATE said, as rows of key and value. */
#ifndef REC_VERSION_CONFIG_H
#define REC_VERSION_CONFIG_H

#include "../host/arguments.h"
#include "versioned.h"

/* A row; value NULL: none. */
Status config_save(const Versioned *versioned, const char *key, const char *value, Err *err);
Status config_save_arguments(const Versioned *versioned, const Arguments *arguments, Err *err);
/* All rows but what is live, after the shadow tables and their format have been checked. */
Status config_load(const Versioned *versioned, Arguments *out, Err *err);

#endif
