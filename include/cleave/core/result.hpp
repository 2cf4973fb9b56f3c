// Expected failures are values: Result<T> holds a T or an Error that says what, where, what to do.
#pragma once

#include <cleave/core/export.hpp>

#include <tl/expected.hpp>

#include <string>
#include <string_view>

namespace cleave::inline v0::core {

/// Portable conditions; callers branch on these, people read Error::message().
enum class Errc {
  invalid_argument,   ///< the caller's input is wrong
  not_found,          ///< no such file, model, cut, knob, ...
  permission_denied,  ///< the operating system or an operator said no
  io,                 ///< reading or writing failed
  corrupt,            ///< a checksum, magic or length does not fit
  version,            ///< written by a newer version than this one reads
  unsupported,        ///< understood, but not something this build or machine can do
  mismatch,           ///< two things that must belong together do not (fingerprints)
  unavailable,        ///< the peer or the link is not there
  timed_out,          ///< a deadline passed
  cancelled,          ///< stopped on request
  refused,            ///< the peer declined (limits, policy, overload)
  exhausted,          ///< a stated bound on memory, requests, ... is reached
  in_use,             ///< a port, knob or file is taken by somebody else
  internal,           ///< a fault of cleave itself
};

CLEAVE_EXPORT std::string_view to_string(Errc code);

struct Error {
  Errc code = Errc::internal;
  std::string what;   ///< what went wrong, e.g. "no such file"
  std::string where;  ///< the file, address, node or option it concerns; may be empty
  std::string hint;   ///< what the user can do about it; may be empty

  /// One line: "where: what (hint)".
  [[nodiscard]] CLEAVE_EXPORT std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(Errc::not_found, "no such file", path, "check the path");`
inline tl::unexpected<Error> fail(Errc code, std::string what, std::string where = {},
                                  std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(what), std::move(where), std::move(hint)});
}

/// `if (!r) return fail(r);` passes an error on, whatever the value types.
template <class T>
tl::unexpected<Error> fail(const Result<T>& failed) {
  return tl::unexpected<Error>(failed.error());
}

}  // namespace cleave::inline v0::core
