// Call frame information, of functions that are made up byte by byte.
// stack_walk_test tries that of compilers.
#include "core/profile/frame_rules.h"

#include <gtest/gtest.h>
#include <string.h>

#include <string>
#include <vector>

#include "core/profile/byte_reader.h"
#include "core/profile/registers.h"
#include "core/profile/rule_cache.h"

namespace aomalloc {
namespace {

using Where = FrameRule::Where;
using Cfa = FrameRules::Cfa;

std::string Bytes(std::initializer_list<unsigned> bytes) {
  return {bytes.begin(), bytes.end()};
}
std::string Word(int64_t value) {
  const auto word = static_cast<int32_t>(value);
  return {reinterpret_cast<const char*>(&word), sizeof(word)};
}
std::string Leb(uint64_t value) {
  std::string bytes;
  do {
    bytes += static_cast<char>((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>= 7;
  } while (value != 0);
  return bytes;
}
constexpr unsigned kSp = kStackRegister;
constexpr unsigned kFp = kFrameRegister;
constexpr unsigned kRa = kReturnRegister;
constexpr unsigned kOther = 3;
constexpr size_t kFunctionBytes = 100;

// An object: .eh_frame_hdr, .eh_frame and code, with functions one behind the
// other, of one common entry.
class Object {
 public:
  struct Common {
    unsigned version = 1;
    std::string letters = "zR";
    unsigned caller = kRa;
    std::string data = Bytes({0x1b});
    // The CFA is the stack pointer plus 8, with the return address below it.
    std::string program = Bytes({0x0c, kSp, 8, 0x80 | kRa, 1});
  };
  explicit Object(const Common& common) {
    PutRecord(kRecords, Word(0) + Bytes({common.version}) + common.letters +
                            Bytes({0, 1, 0x78 /* -8 */, common.caller}) +
                            (common.letters[0] == 'z'
                                 ? Leb(common.data.size()) + common.data
                                 : "") +
                            common.program);
    memcpy(image_, "\x01\x1b\x03\x3b", 4);
  }
  Object() : Object(Common()) {}

  // Adds a function. What it returns is its place in the code.
  size_t Add(const std::string& program, const std::string& data = "",
             bool has_data = true) {
    const size_t start = kCode + count_ * kFunctionBytes;
    const size_t record = end_;
    const size_t here = record + 4;
    PutRecord(record, Word(static_cast<int64_t>(here - kRecords)) +
                          Word(static_cast<int64_t>(start) -
                               static_cast<int64_t>(here + 4)) +
                          Word(kFunctionBytes - 10) +
                          (has_data ? Leb(data.size()) + data : "") + program);
    Put(12 + 8 * count_,
        Word(static_cast<int64_t>(start)) + Word(static_cast<int64_t>(record)));
    Put(8, Word(static_cast<int64_t>(++count_)));
    return start;
  }

  bool Find(size_t at, FrameRules* rules) const {
    return FindFrameRules(image_, reinterpret_cast<uintptr_t>(image_) + at,
                          rules);
  }
  FrameRules At(size_t at) const {
    FrameRules rules;
    EXPECT_TRUE(Find(at, &rules)) << at;
    return rules;
  }
  char* image() { return image_; }

 private:
  static constexpr size_t kRecords = 1024;
  static constexpr size_t kCode = 8192;

  void Put(size_t at, const std::string& bytes) {
    memcpy(image_ + at, bytes.data(), bytes.size());
  }
  void PutRecord(size_t at, const std::string& bytes) {
    Put(at, Word(static_cast<int64_t>(bytes.size())) + bytes);
    end_ = at + 4 + bytes.size();
  }

  alignas(16) char image_[16384] = {};
  size_t end_ = 0;
  size_t count_ = 0;
};

void ExpectRule(const FrameRule& rule, Where where, int32_t offset = 0) {
  EXPECT_EQ(rule.where, where);
  if (where == Where::kAtCfa || where == Where::kAtFrame) {
    EXPECT_EQ(rule.offset, offset);
  }
}

// What a function whose program is this has at its end.
FrameRules After(const std::string& program) {
  Object object;
  return object.At(object.Add(program) + kFunctionBytes - 11);
}

TEST(FrameRulesTest, ChangeAsTheFunctionGoesOn) {
  Object object;
  object.Add("");
  const size_t f = object.Add(Bytes({
      0x41, 0x0e, 16, 0x80 | kFp, 2,  // pushed
      0x43, 0x0d, kFp,                // the frame pointer is set
      0x02, 40, 0x0a, 0x0c, kSp, 8, 0xc0 | kFp, 0x41, 0x0b,  // an early return
  }));
  object.Add("");
  for (size_t at = f; at < f + 46; ++at) {
    const size_t i = at - f;
    const FrameRules rules = object.At(at);
    const bool pushed = i >= 1 && i != 44;
    EXPECT_EQ(rules.cfa, i >= 4 && i != 44 ? Cfa::kFrame : Cfa::kStack) << i;
    EXPECT_EQ(rules.cfa_offset, pushed ? 16 : 8) << i;
    ExpectRule(rules.frame, pushed ? Where::kAtCfa : Where::kSame, -16);
    ExpectRule(rules.caller, Where::kAtCfa, -8);
    EXPECT_FALSE(rules.is_signal_frame);
  }
}

TEST(FrameRulesTest, EveryInstruction) {
  ExpectRule(After(Bytes({0x05, kFp, 3})).frame, Where::kAtCfa, -24);
  ExpectRule(After(Bytes({0x11, kFp, 0x7f})).frame, Where::kAtCfa, 8);
  ExpectRule(After(Bytes({0x05, kFp, 3, 0x06, kFp})).frame, Where::kSame);
  ExpectRule(After(Bytes({0x05, kFp, 3, 0x08, kFp})).frame, Where::kSame);
  ExpectRule(After(Bytes({0x07, kRa})).caller, Where::kUndefined);
  ExpectRule(After(Bytes({0x09, kFp, kOther})).frame, Where::kUndefined);
  ExpectRule(After(Bytes({0x14, kFp, 1})).frame, Where::kUndefined);
  ExpectRule(After(Bytes({0x15, kFp, 1})).frame, Where::kUndefined);
  EXPECT_EQ(After(Bytes({0x0e, 0x80, 1})).cfa_offset, 128);
  EXPECT_EQ(After(Bytes({0x13, 0x7e})).cfa_offset, 16);
  EXPECT_EQ(After(Bytes({0x12, kFp, 0x7e})).cfa, Cfa::kFrame);
  EXPECT_EQ(After(Bytes({0x0d, kOther})).cfa, Cfa::kUnknown);
  // Registers that do not matter; what says nothing about them.
  const FrameRules rules =
      After(Bytes({0x80 | kOther, 5, 0xc0 | kOther, 0x2e, 7, 0x2d, 0x00}));
  ExpectRule(rules.frame, Where::kSame);
  ExpectRule(rules.caller, Where::kAtCfa, -8);
  // Later than where it is asked about.
  ExpectRule(After(Bytes({0x03, 0, 1, 0x07, kRa})).caller, Where::kAtCfa, -8);
  ExpectRule(After(Bytes({0x04, 0, 0, 1, 0, 0x07, kRa})).caller, Where::kAtCfa,
             -8);
}

TEST(FrameRulesTest, FunctionsThatAlignTheirStack) {
  const unsigned at_frame = 0x70 + kFp;
  FrameRules rules = After(Bytes({0x0f, 3, at_frame, 0x78, 0x06,  // CFA
                                  0x10, kFp, 2, at_frame, 0}));
  EXPECT_EQ(rules.cfa, Cfa::kInFrame);
  EXPECT_EQ(rules.cfa_offset, -8);
  ExpectRule(rules.frame, Where::kAtFrame, 0);
  // What nobody else writes.
  EXPECT_EQ(After(Bytes({0x0f, 2, at_frame, 8})).cfa, Cfa::kUnknown);
  EXPECT_EQ(After(Bytes({0x0f, 2, 0x70 + kSp, 8})).cfa, Cfa::kUnknown);
  ExpectRule(After(Bytes({0x10, kFp, 3, at_frame, 0, 6})).frame,
             Where::kUndefined);
  ExpectRule(After(Bytes({0x16, kFp, 2, at_frame, 0})).frame,
             Where::kUndefined);
}

TEST(FrameRulesTest, CommonEntries) {
  Object::Common common;
  common.version = 3;
  common.letters = "zPLRS";
  common.data = Bytes({0x9b, 1, 2, 3, 4, 0x1b, 0x1b});
  Object signal(common);
  EXPECT_TRUE(signal.At(signal.Add("", Bytes({1, 2, 3, 4}))).is_signal_frame);

  common = Object::Common();
  common.letters = "zPR";
  common.data = Bytes({0x00, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b});
  Object wide(common);
  EXPECT_EQ(wide.At(wide.Add("")).cfa_offset, 8);
}

TEST(FrameRulesTest, WhatIsNotUnderstoodIsNoRule) {
  FrameRules rules;
  const auto is_understood = [&](const Object::Common& common) {
    Object object(common);
    return object.Find(object.Add("", "", common.letters[0] == 'z'), &rules);
  };
  EXPECT_TRUE(is_understood({}));
  Object::Common common;
  common.letters = "";  // absolute addresses
  EXPECT_FALSE(is_understood(common));
  common = {};
  common.data = Bytes({0x00});
  EXPECT_FALSE(is_understood(common));
  common = {};
  common.caller = kRa + 1;
  EXPECT_FALSE(is_understood(common));
  common = {};
  common.program = Bytes({0x3f});
  EXPECT_FALSE(is_understood(common));

  for (const std::string& program :
       {Bytes({0x3f}), Bytes({0x0b}), Bytes({10, 10, 10, 10})}) {
    Object object;
    EXPECT_FALSE(object.Find(object.Add(program) + 1, &rules));
  }
}

TEST(FrameRulesTest, CodeThatBelongsToNoFunction) {
  FrameRules rules;
  Object object;
  EXPECT_FALSE(object.Find(8192, &rules)) << "an empty table";
  const size_t f = object.Add("");
  object.Add("");
  EXPECT_TRUE(object.Find(f, &rules));
  EXPECT_FALSE(object.Find(f - 1, &rules)) << "before the first";
  EXPECT_TRUE(object.Find(f + kFunctionBytes - 11, &rules));
  EXPECT_FALSE(object.Find(f + kFunctionBytes - 10, &rules)) << "between two";
  EXPECT_TRUE(object.Find(f + kFunctionBytes, &rules));
  for (int i = 0; i < 4; ++i) {
    ++object.image()[i];
    EXPECT_FALSE(object.Find(f, &rules)) << "another kind of header " << i;
    --object.image()[i];
  }
}

// Zero, as static memory is.
RuleCache cache;

TEST(RuleCacheTest, GivesBackWhatFits) {
  FrameRules rules;
  EXPECT_FALSE(cache.Find(1000, &rules));
  EXPECT_FALSE(cache.Find(0, &rules) && rules.cfa != Cfa::kUnknown);
  FrameRules kept;
  kept.cfa = Cfa::kInFrame;
  kept.is_signal_frame = true;
  kept.cfa_offset = -123456;
  kept.frame = {Where::kAtFrame, -32768};
  kept.caller = {Where::kUndefined, 32767};
  cache.Add(1000, kept);
  ASSERT_TRUE(cache.Find(1000, &rules));
  EXPECT_EQ(rules.cfa, kept.cfa);
  EXPECT_EQ(rules.cfa_offset, kept.cfa_offset);
  EXPECT_TRUE(rules.is_signal_frame);
  ExpectRule(rules.frame, Where::kAtFrame, -32768);
  EXPECT_EQ(rules.caller.where, Where::kUndefined);
  EXPECT_FALSE(cache.Find(1001, &rules));
  // Others come to its slot in the end.
  for (uintptr_t pc = 2000; pc < 30000; ++pc) cache.Add(pc, FrameRules());
  EXPECT_FALSE(cache.Find(1000, &rules));

  kept.cfa_offset = 1 << 24;
  cache.Add(1000, kept);
  kept.cfa_offset = 8;
  kept.frame.offset = 32768;
  cache.Add(1000, kept);
  EXPECT_FALSE(cache.Find(1000, &rules)) << "too large";
}

TEST(ByteReaderTest, DoesNotGoBeyondTheEnd) {
  const uint8_t bytes[] = {0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
                           0xff, 0xff, 0xff, 0xff, 0x7f, 0xff};
  ByteReader in(bytes, bytes + sizeof(bytes));
  EXPECT_EQ(in.Signed(), -128);
  EXPECT_EQ(in.Signed(), -1) << "more bits than there are";
  EXPECT_EQ(in.Fixed<uint16_t>(), 0) << "one byte is left";
  EXPECT_TRUE(in.AtEnd());
  EXPECT_EQ(in.Unsigned(), 0u);
  in.Skip(5);
  EXPECT_EQ(in.at(), bytes + sizeof(bytes));
}

}  // namespace
}  // namespace aomalloc
