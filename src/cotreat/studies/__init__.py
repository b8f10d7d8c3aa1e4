"""Study files that come with the package."""
