#include <cleave/core/result.hpp>

namespace cleave::inline v0::core {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid argument";
    case Errc::not_found:
      return "not found";
    case Errc::permission_denied:
      return "permission denied";
    case Errc::io:
      return "input/output error";
    case Errc::corrupt:
      return "corrupt";
    case Errc::version:
      return "newer version";
    case Errc::unsupported:
      return "unsupported";
    case Errc::mismatch:
      return "mismatch";
    case Errc::unavailable:
      return "unavailable";
    case Errc::timed_out:
      return "timed out";
    case Errc::cancelled:
      return "cancelled";
    case Errc::refused:
      return "refused";
    case Errc::exhausted:
      return "limit reached";
    case Errc::in_use:
      return "in use";
    case Errc::internal:
      return "internal error";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text;
  if (!where.empty())
    text = where + ": ";
  text += what.empty() ? std::string(to_string(code)) : what;
  if (!hint.empty())
    text += " (" + hint + ")";
  // Names in it may come from a peer or a file: a log's lines and a terminal are not theirs.
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = ' ';
  return text;
}

}  // namespace cleave::inline v0::core
