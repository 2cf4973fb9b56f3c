// What a shared build of cleave exports; everything else is hidden.
#pragma once

#define CLEAVE_EXPORT __attribute__((visibility("default")))
