// The tables of a layer, a directory that says which converts, and what loads the words of a table
// into the controllers of all columns that share it, a word a clock.
//
// A directory entry, by {bucket, phase, slice}, is {number, first}: how many words, and where in the
// store. With none nothing is converted. What is in the controllers is not loaded again.
// With DIRECT every table is one word, and an entry is {converted at all, word}: there is no store.
module table_loader #(
    parameter WORD = 8,
    parameter STORE = 4,      // bits of an address in the store
    parameter SLOT = 1,       // bits of an address in a controller
    parameter KEY = 6,        // bits of {bucket, phase, slice}
    parameter NUMBER = 2,     // bits of a number of words
    parameter DIRECT = 0,
    parameter ENTRY = DIRECT ? WORD + 1 : NUMBER + STORE
) (
    input  wire             clk,
    // Writing store and directory.
    input  wire             write_word,
    input  wire             write_entry,
    input  wire [STORE-1:0] store_address,
    input  wire [KEY-1:0]   entry_address,
    input  wire [WORD-1:0]  new_word,
    input  wire [ENTRY-1:0] new_entry,
    // Loading, while all controllers are done; the key holds until ready.
    input  wire             load,
    input  wire [KEY-1:0]   key,
    output wire             ready,
    output wire             converts,
    // To the controllers.
    output wire             write,
    output wire [SLOT-1:0]  write_address,
    output wire [WORD-1:0]  word
);
  wire [ENTRY-1:0] entry;
  table_memory #(.BITS(ENTRY), .ADDRESS(KEY)) directory (
      .clk(clk), .write(write_entry), .write_address(entry_address), .d(new_entry), .address(key),
      .q(entry)
  );
  // Nothing is clocked but for a load and while one goes on: one gate stops those of all registers.
  wire loading, some, begins, ends, awake;
`ifdef SAR_NO_GATES
  assign awake = clk;
`else
  clock_gate sleep (.clk(clk), .enable(load | loading | write_word), .gated(awake));
`endif
  gated_register #(.BITS(1)) is_loading (
      .clk(awake), .enable(load | loading), .d(load ? begins : ~ends), .q(loading)
  );
  gated_register #(.BITS(1)) found (.clk(awake), .enable(load), .d(some), .q(converts));
  assign ready = ~loading;
  assign write = loading & ~clk;  // the second half of a clock: address and word are steady
  generate
    if (DIRECT) begin : direct
      assign {some, word} = entry;
      assign begins = some;
      assign ends = 1'b1;
      assign write_address = {SLOT{1'b0}};
    end else begin : stored
      wire [NUMBER-1:0] number, left;
      wire [STORE-1:0] first, at, loaded;
      wire [SLOT-1:0] slot;
      wire there;
      wire moves = load & begins | loading & ~load;
      assign {number, first} = entry;
      assign some = number != 0;
      assign begins = some & ~(there & (loaded == first) & ~loading);
      assign ends = left == 1;
      table_memory #(.BITS(WORD), .ADDRESS(STORE)) store (
          .clk(clk), .write(write_word), .write_address(store_address), .d(new_word), .address(at),
          .q(word)
      );
      gated_register #(.BITS(1)) known (
          .clk(awake), .enable(write_word | load & begins), .d(~write_word), .q(there)
      );
      gated_register #(.BITS(STORE)) last (
          .clk(awake), .enable(load & begins), .d(first), .q(loaded)
      );
      gated_register #(.BITS(STORE)) place (
          .clk(awake), .enable(moves), .d(load ? first : at + 1'b1), .q(at)
      );
      gated_register #(.BITS(NUMBER)) count (
          .clk(awake), .enable(moves), .d(load ? number : left - 1'b1), .q(left)
      );
      gated_register #(.BITS(SLOT)) to (
          .clk(awake), .enable(moves), .d(load ? {SLOT{1'b0}} : slot + 1'b1), .q(slot)
      );
      assign write_address = slot;
    end
  endgenerate
endmodule

// A memory of its own, where a design has one to put in its place: written at a clock, read at once.
module table_memory #(
    parameter BITS = 8,
    parameter ADDRESS = 4
) (
    input  wire               clk,
    input  wire               write,
    input  wire [ADDRESS-1:0] write_address,
    input  wire [BITS-1:0]    d,
    input  wire [ADDRESS-1:0] address,
    output wire [BITS-1:0]    q
);
  reg [BITS-1:0] kept[0:(1<<ADDRESS)-1];
  always @(posedge clk) if (write) kept[write_address] <= d;
  assign q = kept[address];
endmodule
