// A twin-range SAR: one or two comparisons tell whether the sum lies in R1, then as many follow as the
// range has bits.
//
// The word is {start, below, above, top1, step1, top2, step2}. `start` is where R1 begins, plus half a
// step of it, and less one where that is below zero; sums lie `below` R1, `above` it, or both. `top` is
// the number of bits of a range plus its `step`, log2 of the step. `word` holds from start until done.
module twin_range_search #(
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter PLACE = 4,                       // bits of a place: 2^PLACE > BITS
    parameter WORD = BITS + 2 + 4 * PLACE
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,
    input  wire [WORD-1:0] word,
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half
);
  wire [BITS-1:0] base;
  wire below, above;
  wire [PLACE-1:0] top1, step1, top2, step2;
  assign {base, below, above, top1, step1, top2, step2} = word;

  // At the end of R1, at its start, or in a range.
  wire at_end, at_start, inside;
  wire finding = at_end | at_start;
  wire found = at_start | at_end & ~below;  // this comparison is the last one of these
  wire inside_next = start | inside & (at_end ? ~cmp : ~at_start | cmp);
  gated_register #(.BITS(3)) phase (
      .clk(clk), .enable(start | finding),
      .d({start & above, start ? ~above : at_end & below, inside_next}),
      .q({at_end, at_start, inside})
  );

  wire dense = finding | inside;
  wire dense_next = start | (finding ? inside_next : inside);
  wire [BITS:0] last;
  place_of #(.PLACES(BITS + 1), .BITS(PLACE)) ending (
      .number(dense ? step1 : step2), .places(last)
  );
  wire [BITS:0] under;
  below #(.PLACES(BITS + 1), .BITS(PLACE)) reach (
      .number(dense_next ? top1 : top2), .places(under)
  );
  wire coarse = ~last[0];

  // The end of R1 is where its first bit doubled would be; its start is the bare base.
  wire [BITS:0] bits, ones;
  wire [BITS:0] first = start & above ? {under[BITS-1:0], 1'b1} : under | {BITS + 1{start | ~found}};
  sar_sequence #(.BITS(BITS)) sequence (
      .clk(clk), .load(start | finding), .enable(start | ~done), .cmp(cmp), .first(first),
      .bits(bits), .ones(ones)
  );
  assign done = ~finding & |(last & ~bits);

  wire [BITS-1:0] left_out;  // the bits that the step leaves out
  wire [BITS-1:0] operand, from, sum;
  wire [BITS:0] rest;      // `under` of the rest, whatever starts
  below #(.PLACES(BITS + 1), .BITS(PLACE)) reach_of_rest (.number(top2), .places(rest));
  genvar i;
  generate
    for (i = 0; i < BITS; i = i + 1) begin : place
      assign left_out[i] = |last[BITS:i+1];
      assign operand[i] = bits[i+1] & ~(last[i+1] | done & ones[i+1])
                        ^ ((SIGNED != 0) & finding & base[BITS-1] & left_out[i]);
      assign from[i] = finding | inside & ~left_out[i] ? base[i]
                     : (SIGNED != 0) & ~inside & ~rest[i+1];
    end
    assign sum = from + operand;
    if (SIGNED) begin : signs
      wire negative = ~finding & sum[BITS-1];
      wire [BITS-1:0] mirrored = done ? {{BITS - 1{1'b0}}, coarse} : left_out;
      assign dac = sum ^ (mirrored & {BITS{negative}});
    end else assign dac = sum;
  endgenerate
  assign level = dac;
  assign half = coarse & |level;
endmodule

// The same with its word in latches, which are written while done only.
module sar_twin_range #(
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter PLACE = 4,
    parameter WORD = BITS + 2 + 4 * PLACE
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,
    input  wire            write,
    input  wire [WORD-1:0] word,
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half
);
  wire [WORD-1:0] kept;
  word_latch #(.BITS(WORD)) latch (.write(write), .d(word), .q(kept));
  twin_range_search #(.BITS(BITS), .SIGNED(SIGNED), .PLACE(PLACE)) search (
      .clk(clk), .start(start), .cmp(cmp), .word(kept), .dac(dac), .done(done), .level(level),
      .half(half)
  );
endmodule
