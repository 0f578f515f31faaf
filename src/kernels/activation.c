#include "kernels/activation.h"

#include <math.h>

#include "args.h"

double gab_activation_reference(uint32_t activation, double x, double limit) {
    switch (activation) {
    case GAB_ACTIVATION_GELU: return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case GAB_ACTIVATION_SILU: return x / (1.0 + exp(-x));
    case GAB_ACTIVATION_GELU_ERF: return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case GAB_ACTIVATION_SOFTCAP: return limit * tanh(x / limit);
    default: return x;
    }
}
