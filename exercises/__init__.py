"""The course, imported as `minilinear.exercises`: content only, one folder for each exercise."""
