#include "lib/transport/calls.hpp"

#include <algorithm>

namespace cleave::inline v0::transport {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

Calls::Calls(std::shared_ptr<Connection> connection, std::shared_ptr<const core::Clock> clock,
             core::MetricsSink* metrics, std::string where)
    : connection_(std::move(connection)),
      clock_(std::move(clock)),
      metrics_(metrics),
      where_(std::move(where)),
      timer_(connection_->executor()) {}

void Calls::begin(CallId id, Call call, std::optional<std::uint64_t> bound, Callback done) {
  if (!connection_->open()) {
    refuse(std::move(done), {Errc::unavailable, "not connected", where_, {}});
    return;
  }
  Protocol& protocol = connection_->protocol();
  const RequestHead head{std::move(call.service), std::move(call.method), call.priority,
                         call.remaining};
  const auto sent =
      bound ? protocol.begin_request(head, *bound) : protocol.request(head, std::move(call.body));
  if (!sent) {
    core::Error error = sent.error();
    if (error.where.empty())
      error.where = where_;
    refuse(std::move(done), std::move(error));
    return;
  }
  Pending pending{std::move(done), *sent, 0};
  if (call.timeout > Seconds(0)) {
    pending.expires = (clock_->now() + call.timeout).count();
    deadlines_.emplace(pending.expires, id);
  }
  const bool arm = !deadlines_.empty() && deadlines_.begin()->second == id;
  by_request_.emplace(*sent, id);
  pending_.emplace(id, std::move(pending));
  if (arm)
    arm_deadline();
  connection_->flush();
}

// Later, since the caller may be on this thread and does not expect its answer while it asks.
void Calls::refuse(Callback done, core::Error why) {
  asio::post(connection_->executor(),
             [self = shared_from_this(), done = std::move(done), why = std::move(why)] {
               self->finish(done, tl::unexpected(why));
             });
}

void Calls::append(CallId id, SharedBytes piece) {
  const auto found = pending_.find(id);
  if (found == pending_.end())
    return;
  if (auto done = connection_->protocol().append(found->second.request, std::move(piece)); !done)
    cancel(id, done.error());
  else
    connection_->flush();
}

void Calls::finish(CallId id) {
  const auto found = pending_.find(id);
  if (found == pending_.end())
    return;
  connection_->protocol().finish(found->second.request);
  connection_->flush();
}

void Calls::cancel(CallId id, core::Error why) {
  const auto found = pending_.find(id);
  if (found == pending_.end())
    return;
  connection_->protocol().cancel(found->second.request);
  const auto done = take(found);
  connection_->flush();
  finish(done, tl::unexpected(std::move(why)));
}

void Calls::check_timeouts() {
  const double now = clock_->now().count();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now)
    cancel(deadlines_.begin()->second,
           {Errc::timed_out, "no reply in time", where_, "the link or the server is slow"});
  arm_deadline();
}

bool Calls::take(Event& event) {
  if (auto* response = std::get_if<event::Response>(&event)) {
    answer(response->id,
           Response{std::move(response->body), response->times.upload, response->times.queue,
                    response->times.handler, response->download});
    return true;
  }
  if (auto* failed = std::get_if<event::Failed>(&event)) {
    if (failed->error.where.empty())
      failed->error.where = where_;
    answer(failed->id, tl::unexpected(std::move(failed->error)));
    return true;
  }
  return false;
}

void Calls::fail_all(const core::Error& why) {
  timer_.cancel();
  while (!pending_.empty()) finish(take(pending_.begin()), tl::unexpected(why));
}

void Calls::answer(std::uint64_t request, Result<Response> result) {
  const auto id = by_request_.find(request);
  if (id != by_request_.end())
    finish(take(pending_.find(id->second)), std::move(result));
}

Calls::Callback Calls::take(Map::iterator found) {
  by_request_.erase(found->second.request);
  if (found->second.expires != 0)
    deadlines_.erase({found->second.expires, found->first});
  Callback done = std::move(found->second.done);
  pending_.erase(found);
  return done;
}

void Calls::finish(const Callback& done, Result<Response> result) {
  metrics_->add(result ? "transport.calls" : "transport.failed_calls");
  done(std::move(result));
}

void Calls::arm_deadline() {
  if (deadlines_.empty())
    return;
  // At least a millisecond, for a clock that is not this timer's.
  const double wait = std::max(1e-3, deadlines_.begin()->first - clock_->now().count());
  timer_.expires_after(duration_of(Seconds(std::min(wait, 3600.0))));
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self)
      self->check_timeouts();
  });
}

// Posted also from the I/O thread: the call's begin may still be on its way there.
template <class F>
void CallsHandle::post(F work) {
  const auto io = io_.lock();
  const auto calls = calls_.lock();
  if (io && calls)
    asio::post(io->executor(), [calls, work = std::move(work)]() mutable { work(*calls); });
}

CallId CallsHandle::begin(Call call, std::optional<std::uint64_t> bound, CallCallback done) {
  const CallId id = ++last_;
  ++*pending_;
  CallCallback ended = [done = std::move(done), pending = pending_](Result<Response> result) {
    --*pending;
    done(std::move(result));
  };
  const auto io = io_.lock();
  const auto calls = calls_.lock();
  if (!io || !calls) {
    ended(fail(Errc::unavailable, "the connection is gone", where_));
    return id;
  }
  if (io->section().held() || call.body.bytes.size() <= most_direct)
    if (const Section::Visit visit(io->section()); visit) {
      calls->begin(id, std::move(call), bound, std::move(ended));
      return id;
    }
  asio::post(io->executor(),
             [calls, id, call = std::move(call), bound, ended = std::move(ended)]() mutable {
               calls->begin(id, std::move(call), bound, std::move(ended));
             });
  return id;
}

CallId CallsHandle::start(Call call, CallCallback done) {
  return begin(std::move(call), std::nullopt, std::move(done));
}

CallId CallsHandle::start(Call call, std::uint64_t bound, CallCallback done) {
  return begin(std::move(call), bound, std::move(done));
}

void CallsHandle::append(CallId id, SharedBytes piece) {
  post(
      [id, piece = std::move(piece)](Calls& calls) mutable { calls.append(id, std::move(piece)); });
}

void CallsHandle::finish(CallId id) {
  post([id](Calls& calls) { calls.finish(id); });
}

void CallsHandle::cancel(CallId id) {
  post([id, where = where_](Calls& calls) {
    calls.cancel(id, {Errc::cancelled, "cancelled", where, {}});
  });
}

void CallsHandle::check_timeouts() {
  post([](Calls& calls) { calls.check_timeouts(); });
}

}  // namespace cleave::inline v0::transport
