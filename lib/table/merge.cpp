#include "lib/table/merge_hosts.hpp"

#include <cleave/table/files.hpp>
#include <cleave/table/merge.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

int rank_of(Accuracy::Basis basis) {
  switch (basis) {
    case Accuracy::Basis::labels:
      return 2;
    case Accuracy::Basis::agreement:
      return 1;
    case Accuracy::Basis::none:
      return 0;
  }
  return 0;
}

// A total order, so that which input comes first does not matter: of equal counts the entry that
// promises less.
bool knows_more(const CutCodec& a, const CutCodec& b) {
  const auto key = [](const CutCodec& entry) {
    return std::tuple(rank_of(entry.accuracy.basis), entry.accuracy.samples, -entry.accuracy.value,
                      entry.encoded);
  };
  return key(a) > key(b);
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

class Merging {
 public:
  Merging(std::span<const MergeInput> inputs, const MergeChoice& choice)
      : inputs_(inputs), choice_(choice) {}

  Result<MergedProfile> run() {
    for (const auto step : {&Merging::check, &Merging::codecs, &Merging::cuts, &Merging::halves,
                            &Merging::memory, &Merging::link, &Merging::errors})
      if (auto done = (this->*step)(); !done)
        return fail(done);
    if (auto valid = validate(out_.profile); !valid)
      return fail(valid);
    return std::move(out_);
  }

 private:
  [[nodiscard]] const Profile& first() const { return inputs_.front().profile; }

  Result<void> check() {
    if (inputs_.empty())
      return fail(Errc::invalid_argument, "no profile to merge");
    for (const auto* part : {&choice_.edge, &choice_.cloud, &choice_.link})
      for (const std::size_t index : *part)
        if (index >= inputs_.size())
          return fail(Errc::invalid_argument, "no such input", std::to_string(index));
    for (const MergeInput& input : inputs_) {
      const Profile& profile = input.profile;
      if (auto valid = validate(profile); !valid)
        return fail(valid);
      if (profile.model.structure != first().model.structure ||
          profile.cuts.back().id != first().cuts.back().id ||
          profile.cuts.back().position != first().cuts.back().position)
        return fail(Errc::mismatch,
                    "the profiles are of two networks, " + first().model_name + " and " +
                        profile.model_name,
                    input.name, "merge profiles of the same model, plan and input sizes");
      if (profile.chunk != first().chunk)
        return fail(Errc::mismatch, "it was measured with messages in pieces of another size",
                    input.name, "measure again with one version of cleave");
    }
    out_.profile.model = first().model;
    out_.profile.model_name = first().model_name;
    out_.profile.chunk = first().chunk;
    for (const MergeInput& input : inputs_)
      out_.profile.reply = std::max(out_.profile.reply, input.profile.reply);
    return {};
  }

  Result<void> codecs() {
    where_.resize(inputs_.size());
    std::vector<std::string> dropped;
    for (const MergeInput& input : inputs_)
      for (const std::string& codec : input.profile.codecs) {
        std::vector<std::size_t> at;
        for (const MergeInput& other : inputs_) {
          const auto& names = other.profile.codecs;
          const auto found = std::find(names.begin(), names.end(), codec);
          if (found != names.end())
            at.push_back(static_cast<std::size_t>(found - names.begin()));
        }
        auto& known = at.size() == inputs_.size() ? out_.profile.codecs : dropped;
        if (std::find(known.begin(), known.end(), codec) != known.end())
          continue;
        known.push_back(codec);
        for (std::size_t i = 0; at.size() == inputs_.size() && i < at.size(); ++i)
          where_[i].push_back(at[i]);
      }
    if (out_.profile.codecs.empty())
      return fail(Errc::mismatch, "the profiles have no codec in common", "codecs",
                  "profile them with the same --codecs");
    if (!dropped.empty())
      out_.notes.push_back("dropped: codecs that not every profile has: " + list_of(dropped));
    return {};
  }

  Result<void> cuts() {
    std::size_t other_weights = 0, other_basis = 0;
    std::map<std::tuple<std::uint32_t, std::vector<core::StepRange>>, CutProfile> all;
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      for (CutProfile cut : inputs_[i].profile.cuts) {
        std::vector<CutCodec> entries;
        for (const std::size_t at : where_[i])
          if (at < cut.codecs.size())
            entries.push_back(cut.codecs[at]);
        if (inputs_[i].profile.model.weights != first().model.weights)
          for (CutCodec& entry : entries) {
            other_weights += entry.accuracy.basis == Accuracy::Basis::none ? 0 : 1;
            entry.accuracy = {};
          }
        cut.codecs = std::move(entries);
        const auto [at, added] = all.try_emplace(std::tuple(cut.position, cut.head), cut);
        if (added)
          continue;
        CutProfile& known = at->second;
        if (known.id != cut.id || known.raw != cut.raw)
          return fail(Errc::mismatch, "cut " + to_string(cut.id) + " has other bytes",
                      inputs_[i].name, "profile both with the same inputs' sizes");
        if (cut.input_known && !known.input_known) {
          known.input_known = true;
          known.input = cut.input;
        }
        known.codecs.resize(std::max(known.codecs.size(), cut.codecs.size()));
        for (std::size_t c = 0; c < cut.codecs.size(); ++c)
          if (knows_more(cut.codecs[c], known.codecs[c]))
            known.codecs[c] = cut.codecs[c];
      }
    const bool labelled = std::any_of(all.begin(), all.end(), [](const auto& entry) {
      const auto& codecs = entry.second.codecs;
      return std::any_of(codecs.begin(), codecs.end(), [](const CutCodec& codec) {
        return codec.accuracy.basis == Accuracy::Basis::labels;
      });
    });
    for (auto& [place, cut] : all) {
      for (CutCodec& codec : cut.codecs)
        if (labelled && codec.accuracy.basis == Accuracy::Basis::agreement) {
          codec.accuracy = {};
          ++other_basis;
        }
      out_.profile.cuts.push_back(std::move(cut));
    }
    if (other_weights > 0)
      out_.notes.push_back("dropped: " + std::to_string(other_weights) +
                           " accuracies, which are of other weights than those of " +
                           inputs_.front().name);
    if (other_basis > 0)
      out_.notes.push_back("dropped: " + std::to_string(other_basis) +
                           " accuracies that count agreement, where others count labels");
    return {};
  }

  Result<void> halves() {
    std::vector<std::size_t> all(inputs_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    const std::vector<std::size_t>* chosen[] = {&choice_.edge, &choice_.cloud};
    for (const core::HostIndex host : {core::edge_host, core::cloud_host}) {
      given_[host] = chosen[host]->empty() ? all : *chosen[host];
      std::sort(given_[host].begin(), given_[host].end());
      given_[host].erase(std::unique(given_[host].begin(), given_[host].end()), given_[host].end());
      std::vector<HalfOf> halves;
      for (const std::size_t index : given_[host])
        halves.push_back({inputs_[index].name, &inputs_[index].profile.hosts[host], where_[index]});
      auto half = unite_halves(halves, host == core::edge_host ? "edge" : "cloud", out_.notes);
      if (!half)
        return fail(half);
      out_.profile.hosts[host] = std::move(*half);
    }
    return {};
  }

  // A head's is that of the devices that give the edge's half, a tail's of those that give the
  // cloud's: the most that one of them needed.
  Result<void> memory() {
    std::size_t untold = 0;
    for (CutProfile& cut : out_.profile.cuts) {
      const bool known = cut.head_memory.count() > 0 || cut.tail_memory.count() > 0;
      cut.head_memory = most_of(core::edge_host, cut.id, &CutProfile::head_memory);
      cut.tail_memory = most_of(core::cloud_host, cut.id, &CutProfile::tail_memory);
      const bool head = cut.position == 0 || cut.head_memory.count() > 0;
      const bool tail = &cut == &out_.profile.cuts.back() || cut.tail_memory.count() > 0;
      untold += known && (!head || !tail) ? 1 : 0;
    }
    if (untold > 0)
      out_.notes.push_back("dropped: what " + std::to_string(untold) +
                           " cuts take in memory, which the profiles of their edge or cloud do not "
                           "tell; a limit of memory leaves them out");
    return {};
  }

  [[nodiscard]] core::Bytes most_of(core::HostIndex host, core::CutId id,
                                    core::Bytes CutProfile::*memory) const {
    core::Bytes most;
    for (const std::size_t i : given_[host])
      for (const CutProfile& cut : inputs_[i].profile.cuts)
        if (cut.id == id)
          most = std::max(most, cut.*memory);
    return most;
  }

  Result<void> link() {
    links_ = choice_.link;
    std::sort(links_.begin(), links_.end());
    links_.erase(std::unique(links_.begin(), links_.end()), links_.end());
    if (links_.empty())
      std::set_intersection(given_[0].begin(), given_[0].end(), given_[1].begin(), given_[1].end(),
                            std::back_inserter(links_));
    if (links_.empty())
      return fail(Errc::mismatch, "no profile gives both the edge and the cloud, and so the link",
                  "link", "say which profile gives the link (--link-from)");
    const auto count = static_cast<double>(links_.size());
    const auto mean = [&](auto&& value) {
      double sum = 0;
      for (const std::size_t i : links_) sum += value(inputs_[i].profile) / count;
      return sum;
    };
    const auto rate = [&](auto&& rate_of) {
      const double per_byte = mean([&](const Profile& p) { return 1 / rate_of(p).count(); });
      return core::BytesPerSecond(1 / per_byte);
    };
    LinkProfile& out = out_.profile.link;
    const double trip = mean([](const Profile& p) { return p.link.round_trip.count(); });
    const double variance = mean([trip](const Profile& p) {
      const double spread = p.link.round_trip_spread.count();
      const double apart = p.link.round_trip.count() - trip;
      return spread * spread + apart * apart;
    });
    out = inputs_[links_.front()].profile.link;
    if (links_.size() > 1) {
      out.round_trip = Seconds(trip);
      out.round_trip_spread = Seconds(std::sqrt(variance));
      out.up = rate([](const Profile& p) { return p.link.up; });
      out.down = rate([](const Profile& p) { return p.link.down; });
      out.overhead = Seconds(mean([](const Profile& p) { return p.link.overhead.count(); }));
      out.sizes = sizes();
      out_.notes.push_back("the links of " + std::to_string(links_.size()) +
                           " profiles are averaged");
    }
    radio(mean);
    return {};
  }

  // Each size's mean over the links that were measured with it.
  [[nodiscard]] std::vector<TransferSample> sizes() const {
    std::map<core::Bytes, std::vector<double>> times;
    for (const std::size_t i : links_)
      for (const TransferSample& sample : inputs_[i].profile.link.sizes)
        times[sample.bytes].push_back(sample.time.count());
    std::vector<TransferSample> out;
    for (const auto& [bytes, seconds] : times)
      out.push_back({bytes, Seconds(std::accumulate(seconds.begin(), seconds.end(), 0.0) /
                                    static_cast<double>(seconds.size()))});
    return out;
  }

  template <class Mean>
  void radio(Mean&& mean) {
    HostProfile& edge = out_.profile.hosts[core::edge_host];
    const HostProfile before = edge;
    edge.transmit = core::JoulesPerByte(
        mean([](const Profile& p) { return p.hosts[core::edge_host].transmit.count(); }));
    edge.receive = core::JoulesPerByte(
        mean([](const Profile& p) { return p.hosts[core::edge_host].receive.count(); }));
    if (given_[core::edge_host] != links_ &&
        (edge.transmit != before.transmit || edge.receive != before.receive))
      out_.notes.push_back(
          "the radio's energy per byte is that of the link's profile, not of the "
          "edge's");
  }

  Result<void> errors() {
    const bool of_one = links_.size() == 1 && given_[0] == links_ && given_[1] == links_;
    const Profile& whole = inputs_[links_.front()].profile;
    if (of_one) {
      out_.profile.error = whole.error;
      out_.profile.predicted_error = whole.predicted_error;
    } else {
      out_.notes.emplace_back(
          "dropped: the error of the predictions, which was of each profile as a whole; `cleave "
          "profile --validate` measures that of the merged one");
    }
    return {};
  }

  std::span<const MergeInput> inputs_;
  const MergeChoice& choice_;
  std::vector<std::vector<std::size_t>> where_;  // of each input, where it has each kept codec
  std::vector<std::size_t> given_[2];            // the inputs that give each half
  std::vector<std::size_t> links_;
  MergedProfile out_;
};

}  // namespace

Timing pool(std::span<const Timing> parts) {
  double count = 0, mean = 0, median = 0;
  for (const Timing& part : parts) count += part.samples;
  if (count == 0)
    return parts.front();
  for (const Timing& part : parts) {
    mean += part.samples / count * part.mean.count();
    median += part.samples / count * part.median.count();
  }
  double squares = 0;
  std::uint64_t samples = 0;
  for (const Timing& part : parts) {
    if (part.samples == 0)
      continue;
    const double apart = part.mean.count() - mean;
    squares += (part.samples - 1.0) * part.spread.count() * part.spread.count() +
               part.samples * apart * apart;
    samples += part.samples;
  }
  Timing out;
  out.mean = Seconds(mean);
  out.median = Seconds(median);
  out.spread = Seconds(count > 1 ? std::sqrt(squares / (count - 1)) : 0);
  out.samples = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(samples, std::numeric_limits<std::uint32_t>::max()));
  return out;
}

core::Result<MergedProfile> merge(std::span<const MergeInput> inputs, const MergeChoice& choice) {
  return Merging(inputs, choice).run();
}

}  // namespace cleave::inline v0::table
