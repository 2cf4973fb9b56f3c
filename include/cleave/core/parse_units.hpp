// Quantities as people write them in command lines and files: "250us", "20mbit", "4MB".
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <string_view>

namespace cleave::inline v0::core {

/// "250us", "5ms", "2s"; a number alone counts in `plain`. Errc::invalid_argument: no number, below
/// 0, not finite, or another unit.
CLEAVE_EXPORT Result<Seconds> parse_duration(std::string_view text,
                                             Seconds plain = milliseconds(1));
/// "9600bit", "500kbit", "20mbit", "1gbit", "2.5MB" (all per second); a number alone counts in
/// `plain`. 0 is a rate here. Errc::invalid_argument as above.
CLEAVE_EXPORT Result<BytesPerSecond> parse_rate(std::string_view text,
                                                BytesPerSecond plain = megabits_per_second(1));
/// "1500", "64KiB", "4MiB", "300kB", "2.5MB", "1GB". Errc::invalid_argument as above.
CLEAVE_EXPORT Result<Bytes> parse_bytes(std::string_view text);

}  // namespace cleave::inline v0::core
