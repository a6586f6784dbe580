// The register of a SAR: what is decided, then a zero, the trial bit, then ones down to the lowest
// place, which lies below the last bit. So it holds the place in the sequence and the code at once.
// A step puts the comparator's answer where the lowest zero is, and a zero one place below.
module sar_sequence #(
    parameter BITS = 8
) (
    input  wire          clk,
    input  wire          load,    // takes `first`, else it makes a step
    input  wire          enable,
    input  wire          cmp,
    input  wire [BITS:0] first,
    output wire [BITS:0] bits,
    output wire [BITS:0] ones     // all places below hold ones
);
  wire [BITS:0] next;
  genvar i;
  generate
    for (i = 0; i <= BITS; i = i + 1) begin : place
      wire here, comes;
      if (i == 0) begin
        assign ones[i] = 1'b1;
        assign here = 1'b0;  // nothing is decided below the last bit
      end else begin
        assign ones[i] = ones[i-1] & bits[i-1];
        assign here = ones[i] & ~bits[i];
      end
      if (i == BITS) assign comes = 1'b0;
      else assign comes = ones[i+1] & ~bits[i+1];
      assign next[i] = load ? first[i] : here ? cmp : bits[i] & ~comes;
    end
  endgenerate
  gated_register #(.BITS(BITS + 1)) state (.clk(clk), .enable(enable), .d(next), .q(bits));
endmodule

// The places below a number: bit i says i < number.
module below #(
    parameter PLACES = 8,
    parameter BITS = 4
) (
    input  wire [BITS-1:0]   number,
    output wire [PLACES-1:0] places
);
  genvar i;
  generate
    for (i = 0; i < PLACES; i = i + 1) begin : place
      assign places[i] = number > i;
    end
  endgenerate
endmodule

// The place of a number: bit i says i == number.
module place_of #(
    parameter PLACES = 8,
    parameter BITS = 3
) (
    input  wire [BITS-1:0]   number,
    output wire [PLACES-1:0] places
);
  genvar i;
  generate
    for (i = 0; i < PLACES; i = i + 1) begin : place
      assign places[i] = number == i;
    end
  endgenerate
endmodule
