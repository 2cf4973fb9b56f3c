// libtorch's exceptions as one-line errors.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/result.hpp>

#include <exception>
#include <new>
#include <string>
#include <utility>

namespace cleave::inline v0::model {

/// What an exception says, without libtorch's backtraces and source excerpts.
std::string one_line(const std::exception& e);

/// Runs f, which returns a core::Result, and turns whatever libtorch throws into `code`.
template <class F>
auto guarded(core::Errc code, const std::string& where, F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return core::fail(core::Errc::exhausted, "out of memory", where);
  } catch (const std::exception& e) {
    return core::fail(code, one_line(e), where);
  }
}

}  // namespace cleave::inline v0::model
