/*
 * sample.h - draws one token for each output row of the step from its logits, on the device.
 *
 * In this order: repetition penalty over the recent tokens (each distinct one once), temperature, top-k, top-p, min-p,
 * the draw. Temperature 0 is greedy: the largest logit, the lower id on a tie. NaN logits count as minus infinity. When
 * the largest is plus infinity, only those that equal it have any mass; when all are minus infinity all are equally
 * likely. Filters are off at top_k 0 or n_vocab and above, top_p 1 and above, min_p 0 and below; the likeliest id
 * always stays.
 *
 * No sort: thresholds are found by radix selection on order-preserving bits of the float; masses are integers (exp(l -
 * max) in units of 2^-30), so that their sums do not depend on any order; among equals at a threshold the lower ids are
 * kept; the draw walks the kept ids in order. Random numbers: Philox 4x32-10 (Salmon et al. 2011), key = seed, counter
 * = position of the token.
 *
 * One group a row. n_vocab is at most 600000 on llvmpipe, which leaves long loops early, 2^30 elsewhere.
 */
#ifndef GAB_KERNELS_SAMPLE_H
#define GAB_KERNELS_SAMPLE_H

#include "kernels/kernels.h"

typedef struct gab_sample {
    gab_slice logits; /* [n_out][logits_stride] floats; penalties are applied in place */
    uint32_t n_vocab, logits_stride;
    gab_slice scratch;  /* gab_sample_scratch_bytes */
    gab_slice sampled;  /* words by slot: receives the token, for the next step's gather */
    gab_slice readback; /* words by output row: receives the token, for the host */
} gab_sample;

uint64_t gab_sample_scratch_bytes(uint32_t n_out, uint32_t n_vocab);
void gab_sample_record(const gab_kernel_context *context, const gab_sample *op);

/* The probability of every token after the whole chain, in double; greedy gives 1 to one token. probabilities: n_vocab.
 * Entries GAB_TOKEN_SAMPLED of out->recent are ignored. False when out of memory. */
bool gab_sample_reference(const float *logits, uint32_t n_vocab, const gab_step_out *out, double *probabilities);

/* Four random words for a key and a counter: Philox 4x32-10. */
void gab_sample_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t random[4]);

/* The uniform number in [0, 1) that the draw of a row uses. */
double gab_sample_uniform(uint64_t seed, uint32_t position);

#endif
