#include <cleave/runtime/cloud_group.hpp>

namespace cleave::inline v0::runtime {

using core::Errc;
using core::fail;
using core::Seconds;

CloudGroup::CloudGroup(std::vector<std::shared_ptr<Cloud>> endpoints)
    : endpoints_(std::move(endpoints)) {}

core::Result<std::shared_ptr<CloudGroup>> CloudGroup::make(
    std::vector<std::shared_ptr<Cloud>> endpoints) {
  if (endpoints.empty() || endpoints.size() > most_endpoints)
    return fail(Errc::invalid_argument, "a group needs 1 to 64 endpoints");
  for (const auto& endpoint : endpoints)
    if (!endpoint)
      return fail(Errc::invalid_argument, "an endpoint of the group is null");
  return std::shared_ptr<CloudGroup>(new CloudGroup(std::move(endpoints)));
}

std::optional<unsigned> CloudGroup::choose(const exec::RemoteChoice& choice) const {
  std::optional<unsigned> best;
  Seconds best_finish;
  for (unsigned i = 0; i < endpoints_.size(); ++i) {
    if ((choice.avoid >> i & 1) != 0 ||
        !(choice.model ? endpoints_[i]->serves(*choice.model) : endpoints_[i]->reachable()))
      continue;
    const Seconds finish = expected_finish(*endpoints_[i], choice);
    if (choice.avoid != 0 && finish >= choice.alternative)
      continue;
    if (!best || finish < best_finish) {
      best = i;
      best_finish = finish;
    }
  }
  return best;
}

exec::RemoteStart CloudGroup::start(exec::RemoteCall call, Done done) {
  const auto chosen = choose(call.choice);
  if (!chosen) {
    done(fail(Errc::unavailable,
              call.choice.avoid == 0 ? "no cloud is reachable"
                                     : "no other cloud is expected to finish in time",
              where(), "is `cleave serve` running there?"));
    return {};
  }
  call.choice.avoid = 0;  // the endpoint's own numbering
  exec::RemoteStart started = endpoints_[*chosen]->start(std::move(call), std::move(done));
  // One that has just gone down took nothing; it is avoided all the same when it is asked again.
  started.endpoint = *chosen;
  return started;
}

bool CloudGroup::available(const exec::RemoteChoice& choice) const {
  return choose(choice).has_value();
}

void CloudGroup::distrust(unsigned endpoint) {
  if (endpoint < endpoints_.size())
    endpoints_[endpoint]->distrust(0);
}

bool CloudGroup::reachable() const {
  return choose({}).has_value();
}

std::optional<table::LinkState> CloudGroup::estimate() const {
  const auto chosen = choose({});
  return chosen ? endpoints_[*chosen]->estimate() : std::nullopt;
}

Seconds CloudGroup::queue() const {
  const auto chosen = choose({});
  return chosen ? endpoints_[*chosen]->queue() : Seconds(0);
}

bool CloudGroup::serves(core::Fingerprint model) const {
  exec::RemoteChoice choice;
  choice.model = model;
  return choose(choice).has_value();
}

core::Result<void> CloudGroup::require(core::Fingerprint model) {
  core::Result<void> refused;
  for (const auto& endpoint : endpoints_)
    if (auto done = endpoint->require(model); !done)
      refused = std::move(done);
  return serves(model) ? core::Result<void>() : refused;
}

std::string CloudGroup::where() const {
  std::string text;
  for (const auto& endpoint : endpoints_) text += (text.empty() ? "" : ", ") + endpoint->where();
  return text;
}

}  // namespace cleave::inline v0::runtime
