// An activity SAR: as many comparisons as the driven word-lines ask for, step 1.
//
// The activity unit says how many, for all columns at once, as places: `needed` has a one for each
// comparison, from the lowest place on, and holds from start until done. With none the level is 0.
module sar_activity #(
    parameter BITS = 8,
    parameter SIGNED = 0
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,
    input  wire [BITS-1:0] needed,
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half
);
  wire [BITS:0] bits, ones;
  sar_sequence #(.BITS(BITS)) sequence (
      .clk(clk), .load(start), .enable(start | ~done), .cmp(cmp),
      .first({1'b0, needed}), .bits(bits), .ones(ones)
  );
  assign done = ~bits[0];
  assign level = dac;
  assign half = 1'b0;
  genvar i;
  generate
    if (SIGNED) begin : signs
      // The first bit tells the sign: its opposite fills its own place and those above.
      wire [BITS-1:0] top = needed & ~(needed >> 1);
      wire negative = |needed & ~|(bits[BITS:1] & top);
      for (i = 0; i < BITS; i = i + 1) begin : place
        assign dac[i] = needed[i] & ~top[i] ? bits[i+1] : negative;
      end
    end else assign dac = bits[BITS:1];
  endgenerate
endmodule

// What the activity unit keeps for all columns of an array: a word, the number of comparisons, as
// places. It is written while done only.
module activity_needs #(
    parameter BITS = 8,
    parameter WORD = 4
) (
    input  wire            write,
    input  wire [WORD-1:0] word,
    output wire [BITS-1:0] needed
);
  wire [WORD-1:0] kept;
  word_latch #(.BITS(WORD)) latch (.write(write), .d(word), .q(kept));
  below #(.PLACES(BITS), .BITS(WORD)) places (.number(kept), .places(needed));
endmodule
