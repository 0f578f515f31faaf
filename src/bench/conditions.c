/* Linux says these in files (Documentation/ABI/testing: sysfs-class-thermal, -class-hwmon, -devices-system-cpu); other
 * systems say nothing here. */
#include "bench/conditions.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The largest of the numbers that the files hold. */
static double largest(const char *pattern, double scale) {
    glob_t files;
    double most = 0;
    if (glob(pattern, 0, NULL, &files) != 0) return 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *f = fopen(files.gl_pathv[i], "r");
        char text[64] = "";
        const double value = f && fgets(text, sizeof text, f) ? strtod(text, NULL) * scale : 0;
        if (value > most) most = value;
        if (f) fclose(f);
    }
    globfree(&files);
    return most;
}

void bench_conditions_read(bench_conditions *c) {
    char governor[32] = "";
    *c = (bench_conditions){0};
    c->cpu_mhz = largest("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq", 1e-3);
    c->gpu_mhz = largest("/sys/class/drm/card[0-9]/device/hwmon/hwmon*/freq1_input", 1e-6);
    if (c->gpu_mhz <= 0) c->gpu_mhz = largest("/sys/class/drm/card[0-9]/gt_act_freq_mhz", 1);
    c->gpu_c = largest("/sys/class/drm/card[0-9]/device/hwmon/hwmon*/temp*_input", 1e-3);
    c->cpu_c = largest("/sys/class/thermal/thermal_zone*/temp", 1e-3);
    c->load = largest("/proc/loadavg", 1);
    c->cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "r");
    if (f && fscanf(f, "%31s", governor) == 1) c->power_saving = strcmp(governor, "powersave") == 0;
    if (f) fclose(f);
}
