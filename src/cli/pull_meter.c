#include "cli/pull_meter.h"

#include <stdio.h>

#include "base/time.h"

const char *pull_size_text(uint64_t bytes, char text[PULL_SIZE_TEXT]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(text, PULL_SIZE_TEXT, "%.*f %s", digits, value, units[unit]);
    return text;
}

static void measure_speed(pull_meter *meter) {
    const uint64_t span_ns = 500000000;
    uint64_t now = gab_time_ns(), passed = now - meter->sample_ns;
    if (meter->sample_ns != 0 && meter->done >= meter->sample_done) {
        if (passed < span_ns) return;
        double rate = (double)(meter->done - meter->sample_done) * 1e9 / (double)passed;
        meter->bytes_s = meter->bytes_s > 0 ? 0.75 * meter->bytes_s + 0.25 * rate : rate;
    }
    meter->sample_ns = now;
    meter->sample_done = meter->done;
}

/* "1:37", "2 h 05" */
static void time_text(double seconds, char *text, size_t size) {
    int s = (int)seconds;
    if (s < 3600)
        snprintf(text, size, "%d:%02d", s / 60, s % 60);
    else
        snprintf(text, size, "%d h %02d", s / 3600, s % 3600 / 60);
}

void pull_meter_show(pull_meter *meter, uint64_t done) {
    const double days = 4 * 86400.0; /* more says nothing */
    char so_far[PULL_SIZE_TEXT], total[PULL_SIZE_TEXT], speed[PULL_SIZE_TEXT], left[24], detail[4 * PULL_SIZE_TEXT];
    meter->done = done;
    measure_speed(meter);
    double left_s = meter->bytes_s > 0 && done < meter->total ? (double)(meter->total - done) / meter->bytes_s : days;
    int n =
        snprintf(detail, sizeof detail, "%s of %s", pull_size_text(done, so_far), pull_size_text(meter->total, total));
    if (left_s < days) {
        time_text(left_s, left, sizeof left);
        snprintf(detail + n, sizeof detail - (size_t)n, " %s/s %s", pull_size_text((uint64_t)meter->bytes_s, speed),
                 left);
    }
    gab_progress_detail(meter->progress, meter->stage, detail, done, meter->total);
}

void pull_meter_reset(pull_meter *meter) {
    meter->sample_ns = 0;
    meter->bytes_s = 0;
}
