// The tables a person reads, and the CSV.
#pragma once

#include "bench/link/compare.hpp"

namespace bench_link {

void print(const Samples& samples, const Options& options, const std::vector<std::string>& missing);
/// Every sample: what, peer, bytes, in_flight, call_bytes, alternation, value, unit. Throws if the
/// file cannot be written.
void write_csv(const Samples& samples, const std::string& file);

}  // namespace bench_link
