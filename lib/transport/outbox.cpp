#include "lib/transport/outbox.hpp"

#include <cleave/core/bytes.hpp>

#include <algorithm>
#include <cstring>

namespace cleave::inline v0::transport {
namespace {

constexpr std::size_t least_chunk = 4096;

std::vector<std::byte> frame(FrameType type, std::uint8_t flags, std::uint64_t id,
                             std::span<const std::byte> head, bool body, std::size_t body_bytes) {
  FrameHeader header;
  header.length = static_cast<std::uint32_t>(head.size() + body_bytes);
  header.type = static_cast<std::uint8_t>(type);
  header.flags = flags;
  header.head = body ? static_cast<std::uint16_t>(head.size()) : std::uint16_t{0};
  header.id = id;
  std::vector<std::byte> bytes(sizeof header + head.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::copy(head.begin(), head.end(), bytes.begin() + sizeof header);
  return bytes;
}

}  // namespace

Outbox::Outbox(const Limits& limits) : limits_(limits), chunk_(limits.chunk) {}

void Outbox::control(FrameType type, std::uint64_t id, std::span<const std::byte> head) {
  controls_.push_back(frame(type, 0, id, head, false, 0));
}

void Outbox::begin(std::uint64_t id, bool reply, std::uint8_t priority, Bytes head,
                   std::uint64_t bound) {
  auto sending = std::make_unique<Sending>();
  sending->id = id;
  sending->reply = reply;
  sending->head = std::move(head);
  sending->bound = bound;
  bytes_ += bound;
  where_[key(id, reply)] = priority;
  queues_[priority].push_back(std::move(sending));
}

Outbox::Sending* Outbox::find(std::uint64_t id, bool reply) {
  const auto priority = where_.find(key(id, reply));
  if (priority == where_.end())
    return nullptr;
  for (const auto& sending : queues_.at(priority->second))
    if (sending->id == id && sending->reply == reply)
      return sending.get();
  return nullptr;
}

bool Outbox::append(std::uint64_t id, bool reply, Bytes piece) {
  Sending* sending = find(id, reply);
  if (sending == nullptr || sending->finished || piece.size() > sending->bound - sending->appended)
    return false;
  if (piece.empty())
    return true;
  sending->appended += piece.size();
  sending->pieces.push_back(std::make_shared<const Bytes>(std::move(piece)));
  return true;
}

void Outbox::finish(std::uint64_t id, bool reply) {
  if (Sending* sending = find(id, reply))
    sending->finished = true;
}

bool Outbox::drop(std::uint64_t id, bool reply) {
  const auto priority = where_.find(key(id, reply));
  if (priority == where_.end())
    return false;
  Queue& queue = queues_.at(priority->second);
  const auto found = std::find_if(queue.begin(), queue.end(), [&](const auto& sending) {
    return sending->id == id && sending->reply == reply;
  });
  const bool begun = (*found)->begun;
  bytes_ -= (*found)->bound;
  queue.erase(found);
  if (queue.empty())
    queues_.erase(priority->second);
  where_.erase(priority);
  return begun;
}

void Outbox::open(const Limits& peer) {
  peer_ = peer;
  open_ = true;
  credit_ += peer.first_credit;
  chunk_ = std::min(chunk_, most_chunk());
}

// With room for the head beside it.
std::size_t Outbox::most_chunk() const {
  return peer_.max_frame - 4096;
}

void Outbox::set_rate(core::BytesPerSecond rate) {
  if (limits_.chunk_time <= 0 || !(rate.count() > 0))
    return;
  // Half of the way each time, since one body's rate may be off.
  const double now = std::min(rate.count() * limits_.chunk_time, 1e9);
  chunk_ = std::clamp(static_cast<std::size_t>((static_cast<double>(chunk_) + now) / 2),
                      least_chunk, most_chunk());
}

void Outbox::add_credit(std::uint64_t bytes) {
  // A peer that grants beyond all numbers grants everything.
  credit_ = bytes > ~std::uint64_t{0} - credit_ ? ~std::uint64_t{0} : credit_ + bytes;
  wanted_ -= std::min(wanted_, bytes);
}

std::uint64_t Outbox::take_spare_credit() {
  wanted_ = 0;
  std::uint64_t needed = 0;
  const auto needs = [&] {
    for (auto entry = queues_.rbegin(); entry != queues_.rend(); ++entry) {
      for (const auto& sending : entry->second) {
        if (sending->begun)
          continue;
        if (sending->bound > credit_ - needed)
          return;
        needed += sending->bound;
      }
    }
  };
  needs();
  const std::uint64_t keep = std::max(needed, peer_.first_credit);
  const std::uint64_t spare = credit_ > keep ? credit_ - keep : 0;
  credit_ -= spare;
  return spare;
}

void Outbox::ask_for_credit(std::uint64_t missing) {
  if (missing <= wanted_)
    return;
  const std::uint64_t more = missing - wanted_;
  wanted_ = missing;
  Bytes head;
  core::ByteWriter(head).put(more);
  control(FrameType::want, 0, head);
}

void Outbox::cut(Sending& sending, OutgoingFrame& out) {
  const bool first = !sending.begun;
  if (first) {
    credit_ -= sending.bound;
    sending.begun = true;
  }
  std::size_t count = 0;
  out = {};
  if (!sending.pieces.empty()) {
    const auto& piece = sending.pieces.front();
    count = std::min(chunk_, piece->size() - sending.sent);
    out.body = std::span(*piece).subspan(sending.sent, count);
    out.owner = piece;
    sending.sent += count;
    if (sending.sent == piece->size()) {
      sending.pieces.pop_front();
      sending.sent = 0;
    }
  }
  const bool last = sending.finished && sending.pieces.empty();
  const FrameType type = !first          ? FrameType::data
                         : sending.reply ? FrameType::response
                                         : FrameType::request;
  const auto flags =
      static_cast<std::uint8_t>((sending.reply ? flag_reply : 0) | (last ? flag_last : 0));
  out.head = frame(type, flags, sending.id, sending.head, true, count);
  sending.head.clear();
}

bool Outbox::next(OutgoingFrame& out) {
  if (open_ && controls_.empty()) {
    // One that waits for credit holds up those that are not more urgent and have not begun, which
    // would take the credit that it waits for.
    bool short_of_credit = false;
    for (auto entry = queues_.end(); entry != queues_.begin();) {
      --entry;
      Queue& queue = entry->second;
      for (std::size_t i = 0; i < queue.size(); ++i) {
        Sending& sending = *queue[i];
        if (!sending.begun && sending.bound > 0) {
          if (short_of_credit)
            continue;
          if (sending.bound > credit_) {
            short_of_credit = true;
            ask_for_credit(sending.bound - credit_);
            continue;
          }
        }
        // A request's head tells the callee that it comes, so it goes before its first bytes are
        // there.
        if (sending.begun && sending.pieces.empty() && !sending.finished)
          continue;
        cut(sending, out);
        auto owned = std::move(queue[i]);
        queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(i));
        if (owned->finished && owned->pieces.empty()) {
          bytes_ -= owned->bound;
          where_.erase(key(owned->id, owned->reply));
        } else {
          queue.push_back(std::move(owned));  // behind its equals: they take turns
        }
        if (queue.empty())
          queues_.erase(entry);
        return true;
      }
    }
  }
  if (controls_.empty())
    return false;
  out = {std::move(controls_.front()), {}, nullptr};
  controls_.pop_front();
  return true;
}

}  // namespace cleave::inline v0::transport
