/* Compiles the layouts on their own, so that their static asserts hold wherever the package builds. */
#include "FDPluginABI.h"
