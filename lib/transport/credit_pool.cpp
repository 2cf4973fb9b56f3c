#include "lib/transport/credit_pool.hpp"

#include <algorithm>

namespace cleave::inline v0::transport {

CreditPool::CreditPool(std::uint64_t total, std::uint64_t most, std::uint64_t first,
                       std::function<void(Protocol&)> touched)
    : total_(total), most_(most), first_(first), touched_(std::move(touched)) {}

void CreditPool::join(Protocol& member) {
  Member& joined = members_[&member];
  refresh(member, joined);
  hold(member, joined, scarce() ? first_ : most_);
}

void CreditPool::leave(Protocol& member) {
  const auto found = members_.find(&member);
  if (found == members_.end())
    return;
  used_ -= found->second.budget;
  members_.erase(found);
  std::erase(waiting_, &member);
  serve();
}

void CreditPool::want(Protocol& member, std::uint64_t bytes) {
  const auto found = members_.find(&member);
  if (found == members_.end())
    return;
  refresh(member, found->second);
  if (found->second.wanted == 0)
    waiting_.push_back(&member);
  found->second.wanted = std::min(most_, found->second.wanted + std::min(most_, bytes));
  serve();
}

void CreditPool::returned(Protocol& member) {
  const auto found = members_.find(&member);
  if (found == members_.end())
    return;
  found->second.wanted = 0;
  std::erase(waiting_, &member);
  refresh(member, found->second);
  serve();
}

void CreditPool::changed(Protocol& member) {
  const auto found = members_.find(&member);
  if (found == members_.end())
    return;
  const std::uint64_t before = used_;
  refresh(member, found->second);
  if (used_ < before)
    serve();
}

void CreditPool::refresh(Protocol& protocol, Member& member) {
  used_ -= member.budget;
  member.budget = protocol.incoming_budget();
  used_ += member.budget;
}

void CreditPool::hold(Protocol& protocol, Member& member, std::uint64_t keep) {
  if (member.keep == keep && (keep == most_ || member.asked == member.budget))
    return;
  member.keep = keep;
  member.asked = member.budget;
  protocol.keep_at_most(keep);
  touched_(protocol);
}

void CreditPool::serve() {
  while (!waiting_.empty()) {
    Protocol& protocol = *waiting_.front();
    Member& member = members_.at(&protocol);
    hold(protocol, member, most_);
    const std::uint64_t free = total_ - std::min(total_, used_);
    const std::uint64_t room = most_ - std::min(most_, member.budget);
    if (const std::uint64_t bytes = std::min({member.wanted, room, free}); bytes > 0) {
      protocol.grant(bytes);
      member.wanted -= bytes;
      refresh(protocol, member);
      touched_(protocol);
    }
    // With all that a connection may have, what it lets go of is granted anew.
    if (member.wanted > 0 && member.budget < most_)
      break;
    member.wanted = 0;
    waiting_.pop_front();
  }
  for (auto& [protocol, member] : members_) {
    if (waiting_.empty() || protocol != waiting_.front())
      hold(*protocol, member, scarce() ? first_ : most_);
  }
}

}  // namespace cleave::inline v0::transport
