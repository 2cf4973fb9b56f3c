// Lists, tuples and dictionaries of libtorch's, rebuilt with other values inside.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <functional>

namespace cleave::inline v0::model {

/// The value with everything in it that is no list, tuple or dictionary replaced by what `replace`
/// gives for it; at any depth, but for the keys of dictionaries. Containers are new ones.
c10::IValue map_leaves(const c10::IValue& value,
                       const std::function<c10::IValue(const c10::IValue&)>& replace);

}  // namespace cleave::inline v0::model
