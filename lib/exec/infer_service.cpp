#include <cleave/core/hash.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <atomic>

namespace cleave::inline v0::exec {

using core::Result;
using core::Seconds;

// Bytes that may be taken by what is decoded ahead. Thread-safe.
class InferService::Room {
 public:
  explicit Room(std::uint64_t bytes) : left_(bytes) {}
  bool take(std::uint64_t bytes) {
    std::uint64_t left = left_;
    while (bytes <= left)
      if (left_.compare_exchange_weak(left, left - bytes))
        return true;
    return false;
  }
  void give(std::uint64_t bytes) { left_ += bytes; }

 private:
  std::atomic<std::uint64_t> left_;
};

// A request that comes in parts: its header, its values, its check.
class InferService::Parts {
 public:
  explicit Parts(const InferService& service) : service_(service) {}
  ~Parts() { service_.room_->give(taken_); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  // The last bytes seen so far may be the check and are held back.
  void add(std::span<const std::byte> piece) {
    const std::size_t more = held_.size() + piece.size();
    const std::size_t known = more - std::min(more, check_bytes);
    const std::size_t from_held = std::min(known, held_.size());
    read(std::span(held_).first(from_held));
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(from_held));
    const auto rest = piece.subspan(known - from_held);
    read(piece.first(known - from_held));
    held_.insert(held_.end(), rest.begin(), rest.end());
  }

  // `behind`: what decoding took since the last byte was there.
  Result<std::vector<std::byte>> finish(Seconds behind) {
    const Seconds start = service_.clock_->now() - behind;
    const std::uint64_t check = hasher_.hash();
    if (auto whole = check_seal(held_, check); !whole)
      return core::fail(whole);
    if (!request_)
      return core::fail(request_);
    return service_.answer(*request_, check, start, [this] {
      return refused_ ? transport::decode_values(kept_) : decoder_.finish();
    });
  }

 private:
  static constexpr std::size_t check_bytes = sizeof(std::uint64_t);
  // Until there is room, so much at a time, since it may have to be kept.
  static constexpr std::size_t slice = 4096;

  transport::DecodeLimits limits() {
    transport::DecodeLimits limits;
    limits.admit = [this](std::size_t bytes) {
      settled_ = true;
      refused_ = !service_.room_->take(bytes);
      taken_ = refused_ ? 0 : bytes;
      return !refused_;
    };
    return limits;
  }

  void read(std::span<const std::byte> bytes) {
    hasher_.add(bytes);
    while (!request_ && !malformed_ && !bytes.empty()) {
      const std::size_t wanted = least_tail_request_header(header_) - header_.size();
      const auto part = bytes.first(std::min(wanted, bytes.size()));
      header_.insert(header_.end(), part.begin(), part.end());
      bytes = bytes.subspan(part.size());
      if (header_.size() < least_tail_request_header(header_))
        continue;
      request_ = parse_tail_request(header_);
      malformed_ = !request_;
    }
    if (!request_)
      return;
    while (!settled_ && !bytes.empty()) {
      const auto part = bytes.first(std::min(slice, bytes.size()));
      kept_.insert(kept_.end(), part.begin(), part.end());
      decode(part);
      bytes = bytes.subspan(part.size());
    }
    if (refused_)
      kept_.insert(kept_.end(), bytes.begin(), bytes.end());
    else if (!bytes.empty())
      decode(bytes);
  }

  void decode(std::span<const std::byte> bytes) {
    // The error is the decoder's last word and comes when the request is whole.
    (void)decoder_.add(bytes);
    if (settled_ && !refused_)
      kept_ = {};
  }

  const InferService& service_;
  std::uint64_t taken_ = 0;  // of the room
  bool settled_ = false;     // whether there is room for the tensors
  bool refused_ = false;     // there is none
  bool malformed_ = false;
  std::vector<std::byte> held_, header_, kept_;
  core::Hasher hasher_;
  Result<TailRequest> request_ = core::fail(core::Errc::corrupt, "malformed tail request");
  transport::ValuesDecoder decoder_{limits()};
};

// Most requests come at once and need none of the above.
class InferService::Tail final : public transport::BodySink {
 public:
  explicit Tail(const InferService& service) : service_(service) {}
  Result<std::vector<std::byte>> take(const transport::Incoming& incoming) override {
    return service_.tail(incoming.body);
  }
  Result<void> add(std::span<const std::byte> piece) override {
    parts().add(piece);
    return {};
  }
  Result<std::vector<std::byte>> finish(const transport::Incoming& incoming) override {
    return parts().finish(incoming.behind);
  }

 private:
  Parts& parts() {
    if (!parts_)
      parts_ = std::make_unique<Parts>(service_);
    return *parts_;
  }
  const InferService& service_;
  std::unique_ptr<Parts> parts_;
};

InferService::InferService(const ModelStore& models, device::Arbiter* arbiter,
                           std::shared_ptr<const core::Clock> clock, std::uint64_t ahead)
    : models_(models),
      arbiter_(arbiter),
      clock_(clock ? std::move(clock) : std::make_shared<core::SteadyClock>()),
      room_(std::make_unique<Room>(ahead)) {}

InferService::~InferService() = default;

Result<std::vector<std::byte>> InferService::tail(std::span<const std::byte> message) const {
  const Seconds start = clock_->now();
  const auto sealed = unseal(message);
  if (!sealed)
    return core::fail(sealed);
  const auto request = parse_tail_request(sealed->message);
  if (!request)
    return core::fail(request);
  return answer(*request, sealed->check, start,
                [&request] { return transport::decode_values(request->values); });
}

std::unique_ptr<transport::BodySink> InferService::tail_sink() const {
  return std::make_unique<Tail>(*this);
}

// What a request whose check fits is answered with; its decoding began at `start`.
template <class Decode>
Result<std::vector<std::byte>> InferService::answer(const TailRequest& request, std::uint64_t check,
                                                    Seconds start, const Decode& decode) const {
  const auto model = models_.find(request.model);
  if (!model)
    return core::fail(model);
  if (auto codec = transport::find_codec(request.codec); !codec)
    return core::fail(codec);
  if (auto known = introduce(**model, request.cut, request.head); !known)
    return core::fail(known);
  const Result<core::Values> values = decode();
  if (!values)
    return core::fail(values);
  const Seconds decoded = clock_->now();

  device::Lease lease;
  if (arbiter_ != nullptr && !request.levels.empty()) {
    auto granted = arbiter_->acquire(request.levels);
    if (!granted)
      return core::fail(granted);
    lease = std::move(*granted);
  }
  const auto outputs = (*model)->run(request.cut, (*model)->cuts().back().id, *values);
  if (!outputs)
    return core::fail(outputs);
  const Seconds computed = clock_->now();

  // The time to encode is known only afterwards, so the header's place is kept and then filled.
  std::vector<std::byte> reply;
  write_tail_reply_header({}, reply);
  const std::size_t header = reply.size();
  const auto raw = transport::find_codec("raw");
  if (!raw)
    return core::fail(raw);
  if (auto encoded = transport::encode_values(*outputs, **raw, reply); !encoded)
    return core::fail(encoded);
  std::vector<std::byte> filled;
  write_tail_reply_header({decoded - start, computed - decoded, clock_->now() - computed}, filled);
  std::copy_n(filled.begin(), header, reply.begin());
  seal(reply, check);
  return reply;
}

std::vector<std::byte> InferService::models() const {
  HostDescription description;
  description.models = models_.list();
  if (arbiter_ != nullptr)
    for (const core::Knob& knob : arbiter_->knobs()) {
      HostDescription::KnobDescription described{knob.name, {}};
      for (const core::Level& level : knob.levels) described.levels.push_back(level.label);
      description.knobs.push_back(std::move(described));
    }
  return write_description(description);
}

}  // namespace cleave::inline v0::exec
