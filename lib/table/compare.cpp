#include <cleave/table/compare.hpp>
#include <cleave/table/files.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::table {
namespace {

using core::Seconds;

constexpr double standard_errors = 2;

// "600 MHz, threads 2": what people call a setting, the same in both profiles.
std::string name_of(const HostProfile& host, const Setting& setting) {
  std::string name;
  for (std::size_t k = 0; k < host.knobs.size(); ++k) {
    const core::Knob& knob = host.knobs[k];
    const std::string label = knob.levels.at(setting.levels.at(k)).label;
    name += (name.empty() ? "" : ", ") + knob.name + " " + label;
  }
  return name.empty() ? "the only setting" : name;
}

// The square of a mean's standard error; nothing without two samples.
std::optional<double> error_of_mean(const Timing& timing) {
  if (timing.samples < 2)
    return std::nullopt;
  const double spread = timing.spread.count();
  return spread * spread / timing.samples;
}

std::optional<bool> beyond(double a, double b, std::optional<double> variance_a,
                           std::optional<double> variance_b) {
  if (!variance_a || !variance_b)
    return std::nullopt;
  return std::abs(a - b) > standard_errors * std::sqrt(*variance_a + *variance_b);
}

// What a pass through the typical message costs.
core::Bytes median_bytes(const Profile& profile) {
  std::vector<double> bytes;
  for (const CutProfile& cut : profile.cuts) bytes.push_back(cut.raw.count());
  const auto middle = bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2);
  std::nth_element(bytes.begin(), middle, bytes.end());
  return core::Bytes(bytes.empty() ? 0 : *middle);
}

class Comparison {
 public:
  Comparison(const Profile& a, const Profile& b) : a_(a), b_(b), bytes_(median_bytes(a)) {}

  ProfileComparison run() {
    match();
    compute(core::edge_host, "edge compute");
    compute(core::cloud_host, "cloud compute");
    codecs(core::edge_host, "encode");
    codecs(core::cloud_host, "decode");
    link();
    out_.edge_made_on =
        core::differences(a_.hosts[core::edge_host].made_on, b_.hosts[core::edge_host].made_on);
    out_.cloud_made_on =
        core::differences(a_.hosts[core::cloud_host].made_on, b_.hosts[core::cloud_host].made_on);
    return std::move(out_);
  }

 private:
  struct Pair {
    std::string name;
    const Setting *a, *b;
  };

  void match() {
    for (const core::HostIndex host : {core::edge_host, core::cloud_host}) {
      const std::string side = host == core::edge_host ? "edge at " : "cloud at ";
      const HostProfile &a = a_.hosts[host], &b = b_.hosts[host];
      for (const Setting& setting : a.settings) {
        const std::string name = name_of(a, setting);
        const auto same =
            std::find_if(b.settings.begin(), b.settings.end(),
                         [&](const Setting& other) { return name_of(b, other) == name; });
        if (same == b.settings.end())
          out_.only_a.push_back(side + name);
        else
          pairs_[host].push_back({name, &setting, &*same});
      }
      for (const Setting& setting : b.settings) {
        const std::string name = name_of(b, setting);
        if (std::none_of(pairs_[host].begin(), pairs_[host].end(),
                         [&](const Pair& pair) { return pair.name == name; }))
          out_.only_b.push_back(side + name);
      }
    }
    for (const std::string& codec : a_.codecs)
      if (std::find(b_.codecs.begin(), b_.codecs.end(), codec) == b_.codecs.end())
        out_.only_a.push_back("codec " + codec);
    for (const std::string& codec : b_.codecs)
      if (std::find(a_.codecs.begin(), a_.codecs.end(), codec) == a_.codecs.end())
        out_.only_b.push_back("codec " + codec);
  }

  void compute(core::HostIndex host, const std::string& part) {
    for (const Pair& pair : pairs_[host]) {
      const Timing &a = pair.a->whole, &b = pair.b->whole;
      add(part, pair.name, a.mean, b.mean,
          beyond(a.mean.count(), b.mean.count(), error_of_mean(a), error_of_mean(b)));
    }
  }

  void codecs(core::HostIndex host, const std::string& part) {
    const auto cost = [&](const CodecCost& codec) {
      return host == core::edge_host
                 ? codec.encode_fixed + Seconds(codec.encode_per_byte * bytes_.count())
                 : codec.decode_fixed + Seconds(codec.decode_per_byte * bytes_.count());
    };
    for (std::size_t c = 0; c < a_.codecs.size(); ++c) {
      const auto same = std::find(b_.codecs.begin(), b_.codecs.end(), a_.codecs[c]);
      if (same == b_.codecs.end())
        continue;
      const auto other = static_cast<std::size_t>(same - b_.codecs.begin());
      for (const Pair& pair : pairs_[host])
        add(part, a_.codecs[c] + " at " + pair.name, cost(pair.a->codecs.at(c)),
            cost(pair.b->codecs.at(other)), std::nullopt);
    }
  }

  void link() {
    const LinkProfile &a = a_.link, &b = b_.link;
    const auto variance = [](const LinkProfile& link) {
      return link.round_trip_spread.count() * link.round_trip_spread.count();
    };
    add("link", "round trip", a.round_trip, b.round_trip,
        beyond(a.round_trip.count(), b.round_trip.count(), variance(a), variance(b)));
    const auto rate = [&](const std::string& what, core::BytesPerSecond x, core::BytesPerSecond y) {
      out_.differences.push_back(
          {"link", what, Difference::Unit::bytes_per_second, x.count(), y.count(), std::nullopt});
    };
    rate("up", a.up, b.up);
    rate("down", a.down, b.down);
    add("link", "overhead of a request", a.overhead, b.overhead, std::nullopt);
  }

  void add(const std::string& part, const std::string& what, Seconds a, Seconds b,
           std::optional<bool> beyond_spread) {
    out_.differences.push_back(
        {part, what, Difference::Unit::seconds, a.count(), b.count(), beyond_spread});
  }

  const Profile &a_, &b_;
  const core::Bytes bytes_;
  std::array<std::vector<Pair>, 2> pairs_;
  ProfileComparison out_;
};

}  // namespace

core::Result<ProfileComparison> compare(const Profile& a, const Profile& b) {
  if (a.model.structure != b.model.structure)
    return core::fail(core::Errc::mismatch,
                      "the profiles are of two networks, " + a.model_name + " and " + b.model_name,
                      "", "compare two of the same model, plan and input sizes");
  if (auto valid = validate(a); !valid)
    return core::fail(valid);
  if (auto valid = validate(b); !valid)
    return core::fail(valid);
  return Comparison(a, b).run();
}

}  // namespace cleave::inline v0::table
