#include "lib/transport/answers.hpp"

namespace cleave::inline v0::transport {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

Peer::~Peer() = default;
BodySink::~BodySink() = default;

Result<std::vector<std::byte>> BodySink::take(const Incoming& incoming) {
  if (auto added = add(incoming.body); !added)
    return fail(added);
  return finish({{},
                 incoming.priority,
                 incoming.remaining,
                 incoming.behind,
                 incoming.peer,
                 incoming.cancelled,
                 incoming.caller});
}

void Answers::To::send(Result<std::vector<std::byte>> reply, Seconds queue, Seconds handler) const {
  const auto context = io.lock();
  const auto peer = answers.lock();
  if (!context || !peer)
    return;
  if (context->section().held() || !reply || reply->size() <= most_direct)
    if (const Section::Visit visit(context->section()); visit) {
      peer->send(id, std::move(reply), {upload, queue, handler});
      return;
    }
  asio::post(context->executor(), [peer, id = id, reply = std::move(reply),
                                   times = ServerTimes{upload, queue, handler}]() mutable {
    peer->send(id, std::move(reply), times);
  });
}

void Answers::send(std::uint64_t id, Result<std::vector<std::byte>> reply,
                   const ServerTimes& times) {
  if (!connection_->open())
    return;
  flags_.erase(id);
  Protocol& protocol = connection_->protocol();
  // Also of a request that was cancelled: its body's bytes are free now.
  if (reply)
    protocol.respond(id, std::move(*reply), times);
  else
    protocol.respond_error(id, reply.error());
  connection_->flush();
  connection_->changed();
}

std::shared_ptr<std::atomic<bool>> Answers::expect(std::uint64_t id) {
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  flags_.emplace(id, flag);
  return flag;
}

Answers::To Answers::to(std::uint64_t id, Seconds upload) {
  return {io_, weak_from_this(), id, upload};
}

void Answers::cancel(std::uint64_t id) {
  const auto found = flags_.find(id);
  if (found == flags_.end())
    return;
  *found->second = true;
  flags_.erase(found);
}

void Answers::cancel_all() {
  for (auto& [id, flag] : flags_) *flag = true;
  flags_.clear();
}

Responder::Responder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Responder::Responder(Responder&&) noexcept = default;

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this != &other) {
    answer(fail(Errc::internal, "the request was dropped unanswered"));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Responder::~Responder() {
  if (impl_)
    answer(fail(Errc::internal, "the request was dropped unanswered"));
}

void Responder::answer(Result<std::vector<std::byte>> reply) {
  if (!impl_)
    return;
  const auto impl = std::move(impl_);
  impl->to.send(std::move(reply), Seconds(0), impl->clock->now() - impl->arrived);
}

}  // namespace cleave::inline v0::transport
