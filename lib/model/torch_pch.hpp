// The headers of libtorch that the component's sources share, precompiled once: they cost 26 s a
// translation unit otherwise.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
