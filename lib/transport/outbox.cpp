#include "lib/transport/outbox.hpp"

#include <cleave/core/bytes.hpp>

#include <algorithm>
#include <cstring>

namespace cleave::inline v0::transport {
namespace {

constexpr std::size_t least_chunk = 4096;
constexpr std::uint64_t oldest_first_every = 4;

// Into the room at the front of a frame's head.
void put_header(std::vector<std::byte>& head, FrameType type, std::uint8_t flags, std::uint64_t id,
                bool body, std::size_t body_bytes) {
  const std::size_t size = head.size() - sizeof(FrameHeader);
  FrameHeader header;
  header.length = static_cast<std::uint32_t>(size + body_bytes);
  header.type = static_cast<std::uint8_t>(type);
  header.flags = flags;
  header.head = body ? static_cast<std::uint16_t>(size) : std::uint16_t{0};
  header.id = id;
  std::memcpy(head.data(), &header, sizeof header);
}

}  // namespace

Outbox::Outbox(const Limits& limits) : limits_(limits), chunk_(limits.chunk) {}

Outbox::~Outbox() {
  // Before the bodies that stand in them.
  waiting_.clear();
  reserved_.clear();
  ready_by_age_.clear();
  ready_by_rest_.clear();
}

Outbox::Bytes Outbox::begin_head() {
  Bytes head;
  head.reserve(sizeof(FrameHeader) + 64);
  head.resize(sizeof(FrameHeader));
  return head;
}

void Outbox::control(FrameType type, std::uint64_t id, std::span<const std::byte> head) {
  Bytes bytes(sizeof(FrameHeader) + head.size());
  std::copy(head.begin(), head.end(), bytes.begin() + sizeof(FrameHeader));
  put_header(bytes, type, 0, id, false, 0);
  controls_.push_back(std::move(bytes));
}

bool Outbox::ByAge::operator()(const Sending& a, const Sending& b) const {
  return a.priority != b.priority ? a.priority > b.priority : a.order < b.order;
}

bool Outbox::ByRest::operator()(const Sending& a, const Sending& b) const {
  if (a.priority != b.priority)
    return a.priority > b.priority;
  return a.left != b.left ? a.left < b.left : a.order < b.order;
}

void Outbox::begin(std::uint64_t id, bool reply, std::uint8_t priority, Bytes head,
                   std::uint64_t bound) {
  auto sending = std::make_unique<Sending>();
  sending->id = id;
  sending->reply = reply;
  sending->priority = priority;
  sending->order = ++order_;
  sending->head = std::move(head);
  sending->bound = sending->left = bound;
  bytes_ += bound;
  // An empty one needs no credit.
  if (open_ && bound == 0)
    admit(*sending);
  else
    waiting_.insert(*sending);
  bodies_[key(id, reply)] = std::move(sending);
}

Outbox::Sending* Outbox::find(std::uint64_t id, bool reply) {
  const auto found = bodies_.find(key(id, reply));
  return found == bodies_.end() ? nullptr : found->second.get();
}

bool Outbox::append(std::uint64_t id, bool reply, SharedBytes piece) {
  Sending* sending = find(id, reply);
  if (sending == nullptr || sending->finished ||
      piece.bytes.size() > sending->bound - sending->appended)
    return false;
  if (piece.bytes.empty())
    return true;
  sending->appended += piece.bytes.size();
  sending->pieces.push_back(std::move(piece));
  make_ready(*sending);
  return true;
}

void Outbox::finish(std::uint64_t id, bool reply) {
  if (Sending* sending = find(id, reply)) {
    sending->finished = true;
    make_ready(*sending);
  }
}

bool Outbox::drop(std::uint64_t id, bool reply) {
  Sending* sending = find(id, reply);
  if (sending == nullptr)
    return false;
  const bool begun = sending->begun;
  bytes_ -= sending->bound;
  leave_ready(*sending);
  if (sending->waiting.is_linked())
    waiting_.erase(waiting_.iterator_to(*sending));
  if (sending->reserved.is_linked()) {
    reserved_.erase(reserved_.iterator_to(*sending));
    reserved_bytes_ -= sending->bound;
    credit_ += sending->bound;
  }
  bodies_.erase(key(id, reply));
  return begun;
}

// ---- which bodies may go

// A request's head tells the callee that it comes, so it goes before its first bytes are there.
bool Outbox::sendable(const Sending& sending) {
  return sending.admitted && (!sending.begun || !sending.pieces.empty() || sending.finished);
}

void Outbox::make_ready(Sending& sending) {
  if (sending.ready_by_age.is_linked() || !sendable(sending))
    return;
  ready_by_age_.insert(sending);
  ready_by_rest_.insert(sending);
}

void Outbox::leave_ready(Sending& sending) {
  if (!sending.ready_by_age.is_linked())
    return;
  ready_by_age_.erase(ready_by_age_.iterator_to(sending));
  ready_by_rest_.erase(ready_by_rest_.iterator_to(sending));
}

void Outbox::admit(Sending& sending) {
  sending.admitted = true;
  credit_ -= sending.bound;
  reserved_bytes_ += sending.bound;
  reserved_.insert(sending);
  make_ready(sending);
}

// Credit that less urgent bodies have and do not use yet. False: there is none.
bool Outbox::take_back_for(const Sending& urgent) {
  if (reserved_.empty() || reserved_.rbegin()->priority >= urgent.priority)
    return false;
  Sending& last = *reserved_.rbegin();
  reserved_.erase(reserved_.iterator_to(last));
  leave_ready(last);
  last.admitted = false;
  credit_ += last.bound;
  reserved_bytes_ -= last.bound;
  waiting_.insert(last);
  return true;
}

// Credit goes by urgency, then by age. Who lacks some holds up those behind, who would take what it
// waits for. What is missing; 0: nothing.
std::uint64_t Outbox::admit_waiting() {
  while (!waiting_.empty()) {
    Sending& first = *waiting_.begin();
    while (first.bound > credit_ && take_back_for(first)) {
    }
    if (first.bound > credit_)
      return first.bound - credit_;
    waiting_.erase(waiting_.begin());
    admit(first);
  }
  return 0;
}

void Outbox::open(const Limits& peer) {
  peer_ = peer;
  open_ = true;
  credit_ += peer.first_credit;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Sending& sending = *it++;
    if (sending.bound > 0)
      continue;
    waiting_.erase(waiting_.iterator_to(sending));
    admit(sending);
  }
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
  if (open_)
    admit_waiting();
  const std::uint64_t all = credit_ + reserved_bytes_;
  const std::uint64_t keep = std::max(reserved_bytes_, peer_.first_credit);
  const std::uint64_t spare = all > keep ? all - keep : 0;
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
    reserved_.erase(reserved_.iterator_to(sending));
    reserved_bytes_ -= sending.bound;
    sending.begun = true;
  }
  std::size_t count = 0;
  out = {};
  if (!sending.pieces.empty()) {
    const SharedBytes& piece = sending.pieces.front();
    count = std::min(chunk_, piece.bytes.size() - sending.sent);
    out.body = piece.bytes.subspan(sending.sent, count);
    out.owner = piece.owner;
    sending.sent += count;
    sending.left -= count;
    if (sending.sent == piece.bytes.size()) {
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
  out.head = first ? std::move(sending.head) : Bytes(sizeof(FrameHeader));
  put_header(out.head, type, flags, sending.id, true, count);
}

bool Outbox::next(OutgoingFrame& out) {
  if (open_)
    if (const std::uint64_t missing = admit_waiting(); missing > 0)
      ask_for_credit(missing);
  if (!controls_.empty()) {
    out = {std::move(controls_.front()), {}, nullptr};
    controls_.pop_front();
    return true;
  }
  if (ready_by_age_.empty())
    return false;
  // Who has least to send goes first, so that a small body does not wait for a large one, and of
  // several large ones the first is whole as soon as can be. Now and then the oldest is served,
  // lest it wait for ever. Both are of the highest priority that has something to send.
  Sending& sending =
      ++turn_ % oldest_first_every == 0 ? *ready_by_age_.begin() : *ready_by_rest_.begin();
  leave_ready(sending);  // before what it is ordered by changes
  cut(sending, out);
  if (sending.finished && sending.pieces.empty()) {
    bytes_ -= sending.bound;
    bodies_.erase(key(sending.id, sending.reply));
  } else {
    make_ready(sending);
  }
  return true;
}

}  // namespace cleave::inline v0::transport
