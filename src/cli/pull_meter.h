/*
 * pull_meter.h - how far all files of a download together have come, with speed and time left, on the console's
 * progress line.
 */
#ifndef GAB_CLI_PULL_METER_H
#define GAB_CLI_PULL_METER_H

#include "base/progress.h"

typedef struct pull_meter {
    gab_progress *progress;
    char stage[64];
    uint64_t done, total;            /* bytes */
    uint64_t sample_ns, sample_done; /* where the speed was last measured; 0: not yet */
    double bytes_s;                  /* smoothed; 0: not yet known */
} pull_meter;

void pull_meter_show(pull_meter *meter, uint64_t done);
void pull_meter_reset(pull_meter *meter); /* forgets the speed */

enum { PULL_SIZE_TEXT = 24 };
const char *pull_size_text(uint64_t bytes, char text[PULL_SIZE_TEXT]); /* "1.23 GB" */

#endif
