// Whether two runs of a network gave the same.
#pragma once

#include <ATen/core/ivalue.h>

namespace cleave::inline v0::model {

/// Same structure, same scalars, tensors of the same sizes; their elements equal, or near by
/// `tolerance` relative to the largest. Of whole numbers and truth values a few may differ where
/// `near_ties` may fall either way, as an argmax's.
bool agree(const c10::IValue& a, const c10::IValue& b, double tolerance, bool near_ties = false);

}  // namespace cleave::inline v0::model
