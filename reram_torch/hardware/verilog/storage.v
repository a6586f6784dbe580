// What keeps state: registers whose clock stops where nothing changes, and latches for words.

// The clock passes while `enable`, which may change while the clock is low only.
module clock_gate (
    input  wire clk,
    input  wire enable,
    output wire gated
);
  reg held;
  always @* if (!clk) held = enable;
  assign gated = clk & held;
endmodule

// Takes `d` at a clock that finds it enabled. SAR_NO_GATES, for tools that know one clock only, puts
// flip-flops with an enable in its place; that both are the same is proved by itself.
module gated_register #(
    parameter BITS = 1
) (
    input  wire            clk,
    input  wire            enable,
    input  wire [BITS-1:0] d,
    output reg  [BITS-1:0] q
);
`ifdef SAR_NO_GATES
  always @(posedge clk) if (enable) q <= d;
`else
  wire gated;
  clock_gate gate (.clk(clk), .enable(enable), .gated(gated));
  always @(posedge gated) q <= d;
`endif
endmodule

// A word in latches: it follows `d` while `write`.
module word_latch #(
    parameter BITS = 1
) (
    input  wire            write,
    input  wire [BITS-1:0] d,
    output reg  [BITS-1:0] q
);
  always @* if (write) q = d;
endmodule

// Words in latches: one is written, one is read, neither needs a clock. An address that changes moves
// two of the lines that select, and not a tree of multiplexers.
module word_memory #(
    parameter BITS = 20,
    parameter WORDS = 16,
    parameter ADDRESS = 4
) (
    input  wire               write,
    input  wire [ADDRESS-1:0] write_address,
    input  wire [BITS-1:0]    d,
    input  wire [ADDRESS-1:0] address,
    output wire [BITS-1:0]    word
);
  wire [BITS-1:0] words[0:WORDS-1];
  wire [BITS-1:0] read[0:WORDS];  // of the words so far, the one that is selected
  assign read[0] = {BITS{1'b0}};
  genvar k;
  generate
    for (k = 0; k < WORDS; k = k + 1) begin : each
      word_latch #(.BITS(BITS)) latch (
          .write(write & (write_address == k)), .d(d), .q(words[k])
      );
      assign read[k+1] = read[k] | words[k] & {BITS{address == k}};
    end
  endgenerate
  assign word = read[WORDS];
endmodule
