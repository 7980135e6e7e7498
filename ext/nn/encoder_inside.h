/* What encoder.c and encoder_back.c share; nobody else includes this. */
#ifndef REC_ENCODER_INSIDE_H
#define REC_ENCODER_INSIDE_H

/* Where numbers are dropped. */
enum { SITE_IN, SITE_ATTENTION, SITE_OUT, SITE_FILTER, SITE_INNER, N_SITES };
#define ENCODER_SITE(block, site) ((uint32_t)((block)*N_SITES + (site)))

/* The inner layer is so many times as wide. */
enum { WIDE = 4 };

#endif
