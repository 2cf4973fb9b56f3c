// What one side of a connection has to say: control frames, and bodies cut into chunks.
#pragma once

#include <cleave/transport/protocol.hpp>

#include <boost/intrusive/set.hpp>

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::transport {

// Not thread-safe.
class Outbox {
 public:
  using Bytes = std::vector<std::byte>;

  explicit Outbox(const Limits& limits);
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void control(FrameType type, std::uint64_t id, std::span<const std::byte> head);
  void clear_controls() { controls_.clear(); }
  // Where a head is written: behind room for the frame's header.
  [[nodiscard]] static Bytes begin_head();
  // Bodies, of requests or of replies, by the request's id. `head` goes with the first frame.
  void begin(std::uint64_t id, bool reply, std::uint8_t priority, Bytes head, std::uint64_t bound);
  // False: no such body, or it would be over its bound.
  bool append(std::uint64_t id, bool reply, SharedBytes piece);
  void finish(std::uint64_t id, bool reply);
  // Takes a body back; what has been sent of it, has. Whether anything was.
  bool drop(std::uint64_t id, bool reply);

  // The peer's hello: bodies may go now.
  void open(const Limits& peer);
  void add_credit(std::uint64_t bytes);
  // What is beyond the first credit and the bodies that can begin with it now. It is gone then, and
  // what was asked for is not expected any more.
  std::uint64_t take_spare_credit();
  void set_rate(core::BytesPerSecond rate);

  [[nodiscard]] bool next(OutgoingFrame& out);

  [[nodiscard]] bool has_room(std::uint64_t bound) const {
    return bound <= limits_.max_outgoing - bytes_;
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t controls() const { return controls_.size(); }
  [[nodiscard]] std::size_t chunk() const { return chunk_; }

 private:
  // One for each order that a body may stand in. Small calls are many, and a node of memory for
  // each order is most of what they would cost.
  using Hook = boost::intrusive::set_member_hook<>;
  struct Sending {
    std::uint64_t id = 0;
    bool reply = false;
    std::uint8_t priority = 1;
    std::uint64_t order = 0;  // of begin()
    bool admitted = false, begun = false, finished = false;
    Bytes head;  // sent with the first frame; begin_head() and what follows
    std::uint64_t bound = 0, appended = 0;
    std::list<SharedBytes> pieces;
    std::size_t sent = 0;    // of the first piece
    std::uint64_t left = 0;  // of the bound
    Hook waiting, reserved, ready_by_age, ready_by_rest;
  };
  // More urgent ones first, then earlier ones.
  struct ByAge {
    bool operator()(const Sending& a, const Sending& b) const;
  };
  // More urgent ones first, then those with less to send.
  struct ByRest {
    bool operator()(const Sending& a, const Sending& b) const;
  };
  template <Hook Sending::*hook, class Order>
  using Set = boost::intrusive::set<Sending, boost::intrusive::member_hook<Sending, Hook, hook>,
                                    boost::intrusive::compare<Order>>;

  static std::uint64_t key(std::uint64_t id, bool reply) { return 2 * id + (reply ? 1 : 0); }
  [[nodiscard]] Sending* find(std::uint64_t id, bool reply);
  [[nodiscard]] static bool sendable(const Sending& sending);
  void make_ready(Sending& sending);
  void leave_ready(Sending& sending);
  void admit(Sending& sending);
  std::uint64_t admit_waiting();
  bool take_back_for(const Sending& urgent);
  void cut(Sending& sending, OutgoingFrame& out);
  void ask_for_credit(std::uint64_t missing);
  [[nodiscard]] std::size_t most_chunk() const;

  const Limits limits_;
  Limits peer_;
  bool open_ = false;
  std::size_t chunk_;
  std::deque<Bytes> controls_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Sending>> bodies_;  // by key()
  Set<&Sending::waiting, ByAge> waiting_;    // for credit, or for the peer's hello
  Set<&Sending::reserved, ByAge> reserved_;  // have their credit, and nothing of them is sent yet
  // Have their credit and something to send, in both orders.
  Set<&Sending::ready_by_age, ByAge> ready_by_age_;
  Set<&Sending::ready_by_rest, ByRest> ready_by_rest_;
  std::uint64_t order_ = 0, turn_ = 0;
  std::uint64_t bytes_ = 0;  // bounds of all bodies here
  std::uint64_t credit_ = 0, reserved_bytes_ = 0, wanted_ = 0;
};

}  // namespace cleave::inline v0::transport
